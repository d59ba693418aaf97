"""Compositions of deformations."""

import pytest
import torch

from symnets.diffeo import Affine, Composition, Expansion, SineField
from tests.diffeo.fields import FIELDS, gentle, seeded


def random_maps(n: int, seed: int, *, pixels: int = 16, cutoff: float = 3) -> Expansion:
    """The same gentle fields on any number of pixels, in float64."""
    field = SineField((pixels, pixels), cutoff=cutoff)
    unit = torch.randn(n, 2, field.n_modes, generator=seeded(seed), dtype=torch.float64)
    return field.expansion(0.012 * (pixels - 1) * unit)


def test_composition_applies_one_map_after_the_other() -> None:
    a, b = random_maps(3, 1), random_maps(3, 2)
    points = torch.rand(20, 2, generator=seeded(), dtype=torch.float64) * 15
    both = a.compose(b)
    assert isinstance(both, Composition)
    torch.testing.assert_close(both.pull(points), b.pull(a.pull(points)), rtol=0, atol=1e-13)
    torch.testing.assert_close(both.push(points), a.push(b.push(points)), rtol=0, atol=1e-9)


def test_points_are_composed_associatively() -> None:
    a, b, c = random_maps(2, 1), random_maps(2, 2), random_maps(2, 3)
    points = torch.rand(20, 2, generator=seeded(), dtype=torch.float64) * 15
    left, right = a.compose(b).compose(c), a.compose(b.compose(c))
    torch.testing.assert_close(left.at(points), right.at(points), rtol=0, atol=1e-13)
    torch.testing.assert_close(left.gradient(points), right.gradient(points), rtol=0, atol=1e-13)


def test_composed_warp_agrees_with_two_warps_to_second_order() -> None:
    # One interpolation instead of two; both miss by the second derivative of the image times pixels².
    misses = []
    for pixels in (33, 65):
        a, b = random_maps(2, 1, pixels=pixels), random_maps(2, 2, pixels=pixels)
        wave = torch.linspace(0, 5, pixels, dtype=torch.float64).sin()
        images = (wave[:, None] * wave).expand(2, 1, pixels, pixels)
        once, twice = a.compose(b).warp(images), a.warp(b.warp(images))
        misses.append(float((once - twice).abs().max()))
    assert (b.compose(a).warp(images) - twice).abs().max() > 3 * misses[-1]  # the order matters
    assert 3 < misses[0] / misses[1] < 5.5


def test_gradient_is_that_of_autograd() -> None:
    both = random_maps(2, 1).compose(random_maps(2, 2))
    points = (torch.rand(2, 9, 2, generator=seeded(), dtype=torch.float64) * 15).requires_grad_(True)
    u, found = both.at(points), both.gradient(points)
    for a in range(2):
        (slope,) = torch.autograd.grad(u[..., a].sum(), points, retain_graph=True)
        torch.testing.assert_close(found[:, :, a], slope, rtol=0, atol=1e-12)


def test_determinants_multiply() -> None:
    a, b = random_maps(2, 1), random_maps(2, 2)
    p = a._grid(1)[0]
    there = torch.linalg.det(torch.eye(2) - b.gradient(a.pull(p)))
    torch.testing.assert_close(a.compose(b).det().flatten(1), a.det().flatten(1) * there, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n_outer", "n_inner"), [(1, 3), (3, 1), (3, 3), (1, 1)])
def test_one_deformation_is_composed_with_many(n_outer: int, n_inner: int) -> None:
    a, b = random_maps(n_outer, 1), random_maps(n_inner, 2)
    both = a.compose(b)
    n = max(n_outer, n_inner)
    assert len(both) == n
    assert both.displacement().shape == (n, 16, 16, 2)
    assert both.jacobian().shape == (n, 16, 16, 2, 2)
    for k in range(n):
        one = a[[min(k, n_outer - 1)]]
        alone = one.compose(b[[min(k, n_inner - 1)]])
        torch.testing.assert_close(both.displacement()[k], alone.displacement()[0], rtol=0, atol=1e-13)
        torch.testing.assert_close(both[[k]].displacement(), alone.displacement(), rtol=0, atol=1e-13)
        torch.testing.assert_close(both.jacobian()[k], alone.jacobian()[0], rtol=0, atol=1e-13)
    assert both.warp(torch.rand(n, 1, 16, 16, dtype=torch.float64)).shape == (n, 1, 16, 16)


def test_composition_with_the_identity() -> None:
    a = random_maps(2, 1)
    still = SineField((16, 16), cutoff=3).sample(1, delta=0, generator=None, dtype=torch.float64)
    for both in (a.compose(still), still.compose(a)):
        torch.testing.assert_close(both.displacement(), a.displacement(), rtol=0, atol=1e-14)
    assert still.compose(still).is_identity
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(still.compose(still).warp(image), image)


def test_deformations_of_different_bases_compose() -> None:
    a, b = gentle(FIELDS["B-splines"]), gentle(FIELDS["Gaussian"])
    points = torch.rand(20, 2, generator=seeded(), dtype=torch.float64) * 13
    torch.testing.assert_close(a.compose(b).pull(points), b.pull(a.pull(points)), rtol=0, atol=1e-13)
    assert a.compose(b).to(dtype=torch.float32).displacement().dtype == torch.float32


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"deformations of one shape, got \(16, 16\), \(9, 9\)"):
        random_maps(1, 1).compose(random_maps(1, 1, pixels=9))
    with pytest.raises(ValueError, match="expected equal numbers of deformations, or one, got 2 and 3"):
        random_maps(2, 1).compose(random_maps(3, 1))


def test_a_reflection_of_a_deformation_is_one_to_one() -> None:
    smooth = random_maps(2, 1)
    mirror = Affine(torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))[None], shape=(16, 16))
    field = SineField((16, 16), cutoff=2)
    folded = field.expansion(torch.tensor([[[12.0], [0.0]]], dtype=torch.float64))
    for both in (mirror.compose(smooth), smooth.compose(mirror)):
        assert (both.det() < 0).all()
        assert both.is_bijective().all()
        assert both.inverse().is_bijective().all()
        assert both.is_bijective(margin=0.1).all()
        assert not both.is_bijective(margin=2.0).any()
    assert not mirror.compose(folded).is_bijective()
    assert smooth.compose(folded).is_bijective().tolist() == [False, False]
