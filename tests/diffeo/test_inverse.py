"""The inverse undoes a deformation, or raises an error."""

import pytest
import torch

from symnets.diffeo import Affine, Diffeo, Expansion, Inverse, SineField
from tests.diffeo.fields import FIELDS, gentle, seeded


def cool(shape: tuple[int, ...], cutoff: float, n: int = 4, seed: int = 0) -> Expansion:
    """Deformations in float64 at a temperature of T2 / 5 that do not fold."""
    field = SineField(shape, cutoff=cutoff)
    t = 0.2 * field.temperature_range()[1]
    return field.sample(n, temperature=t, generator=seeded(seed), bijective=True, dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "cutoff"), [((28, 28), 3), ((20, 33), 5), ((32, 32), 15), ((9, 10, 11), 3)]
)
def test_round_trip(shape: tuple[int, ...], cutoff: float) -> None:
    diffeo = cool(shape, cutoff)
    inverse = diffeo.inverse()
    assert isinstance(inverse, Inverse)
    points = diffeo._grid(1)[0]
    for there, back in ((diffeo, inverse), (inverse, diffeo)):
        found = there.pull(back.pull(points))
        torch.testing.assert_close(found, points.expand_as(found), rtol=0, atol=1e-9)
        assert there.compose(back).displacement().abs().max() < 1e-9
    assert (inverse.residual < 1e-10).all()
    torch.testing.assert_close(diffeo.push(points), inverse.pull(points), rtol=0, atol=0)


@pytest.mark.parametrize("name", FIELDS)
def test_round_trip_of_any_field(name: str) -> None:
    diffeo = gentle(FIELDS[name])
    assert diffeo.inverse().compose(diffeo).displacement().abs().max() < 1e-9


def test_inverse_warp_restores_images_up_to_interpolation() -> None:
    diffeo = cool((64, 64), 3, n=2)
    x = torch.linspace(0, 3, 64, dtype=torch.float64).sin()
    images = (x[:, None] * x).expand(2, 1, 64, 64)
    back = diffeo.inverse().warp(diffeo.warp(images))
    moved = (diffeo.warp(images) - images).abs().max()
    assert (back - images).abs().max() < 0.02 * moved
    torch.testing.assert_close(diffeo.inverse().compose(diffeo).warp(images), images, rtol=0, atol=1e-9)


def test_gradient_of_the_inverse() -> None:
    inverse = cool((12, 15), 3, n=2).inverse()
    points = torch.rand(2, 7, 2, dtype=torch.float64, generator=seeded()) * 10
    points.requires_grad_(True)
    u, found = inverse.at(points), inverse.gradient(points)
    for a in range(2):
        (slope,) = torch.autograd.grad(u[..., a].sum(), points, retain_graph=True)
        torch.testing.assert_close(found[:, :, a], slope, rtol=0, atol=1e-9)
    step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    difference = (inverse.at(points + step) - inverse.at(points - step)) / 2e-5
    torch.testing.assert_close(found[..., 0], difference, rtol=0, atol=1e-5)


def test_determinants_are_reciprocal() -> None:
    diffeo = cool((12, 15), 3)
    inverse = diffeo.inverse()
    p = inverse._grid(1)[0]
    there = 1 / torch.linalg.det(torch.eye(2) - diffeo.gradient(inverse.pull(p)))
    torch.testing.assert_close(inverse.det().flatten(1), there, rtol=0, atol=1e-9)


def test_differentiable_in_points_and_field() -> None:
    field = SineField((9, 10), cutoff=2.5)
    coefficients = 0.3 * torch.randn(2, 2, field.n_modes, generator=seeded(), dtype=torch.float64)
    points = 1 + 6 * torch.rand(2, 4, 2, generator=seeded(1), dtype=torch.float64)
    inputs = (coefficients.requires_grad_(True), points.requires_grad_(True))
    assert torch.autograd.gradcheck(lambda c, p: field.expansion(c).push(p), inputs)
    # The derivative of the inverse is taken once: second ones would miss the Jacobian's own dependence.
    image = torch.rand(2, 1, 9, 10, generator=seeded(2), dtype=torch.float64)
    warped = lambda c: field.expansion(c).inverse().warp(image)[..., 1:-1, 1:-1]  # noqa: E731
    assert torch.autograd.gradcheck(warped, (coefficients,))


def test_inverse_of_the_inverse_is_the_deformation() -> None:
    diffeo = cool((12, 12), 3)
    assert diffeo.inverse().inverse() is diffeo
    some = diffeo.inverse()[1:3]
    torch.testing.assert_close(some.displacement(), diffeo.inverse().displacement()[1:3])
    assert diffeo.inverse().to(dtype=torch.float32).displacement().dtype == torch.float32


def test_inverse_of_the_identity_is_the_identity() -> None:
    still = SineField((8, 8), cutoff=2).sample(1, delta=0, generator=None)
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(still.inverse().warp(image), image)


def test_single_precision_reaches_its_tolerance() -> None:
    diffeo = cool((28, 28), 3).to(dtype=torch.float32)
    assert (diffeo.inverse().residual < 1e-4).all()
    assert diffeo.compose(diffeo.inverse()).displacement().abs().max() < 2e-4


def test_strong_but_one_to_one_fields_are_inverted() -> None:
    # At T2, where half of the fields fold and Picard's iteration alone does not converge.
    field = SineField((28, 28), cutoff=3)
    t = field.temperature_range()[1]
    diffeo = field.sample(50, temperature=t, generator=seeded(), bijective=True, dtype=torch.float64)
    slope = torch.linalg.matrix_norm(torch.eye(2) - diffeo.jacobian(), ord=2).flatten(1).amax(1)
    assert slope.max() > 1
    assert (diffeo.inverse().residual < 1e-9).all()


@pytest.mark.parametrize("degrees", [0.0, 35.0, 120.0])
def test_inverse_of_a_rotated_deformation(degrees: float) -> None:
    smooth = cool((20, 20), 3)
    turn = Affine.rotation(degrees, (20, 20), dtype=torch.float64)
    for both in (turn.compose(smooth), smooth.compose(turn)):
        inverse: Diffeo = both.inverse()
        points = 4 + 11 * torch.rand(30, 2, dtype=torch.float64, generator=seeded())
        found = both.pull(inverse.pull(points))
        torch.testing.assert_close(found, points.expand_as(found), rtol=0, atol=1e-9)


def test_folds_are_reported() -> None:
    field = SineField((16, 16), cutoff=2)
    folded = field.expansion(torch.tensor([[[12.0], [0.0]]], dtype=torch.float64))
    assert not folded.is_bijective()
    with pytest.raises(ValueError, match=r"points are not reached .* the deformation folds"):
        folded.inverse().displacement()
    assert folded.inverse().residual > 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match=r"points are not reached within tol=1e-30 .* the dtype resolves"):
        cool((16, 16), 3).inverse(tol=1e-30).displacement()
    with pytest.raises(ValueError, match="tol: expected a positive number of pixels, got 0"):
        folded.inverse(tol=0.0)


def test_single_precision_in_large_images() -> None:
    # A coordinate of 2000 is resolved to 1.2e-4 pixels in float32.
    field = SineField((2048, 2048), cutoff=3)
    diffeo = field.sample(1, delta=2.0, generator=seeded(), dtype=torch.float32)
    points = 2047 * torch.rand(2000, 2, generator=seeded(1))
    back = diffeo.pull(diffeo.push(points)[0])[0]
    assert (back - points).norm(dim=-1).max() < 1e-3
    exact = diffeo.to(dtype=torch.float64).push(points)
    assert (diffeo.push(points) - exact).abs().max() < 2e-3


def test_inverse_is_one_to_one_where_the_deformation_is() -> None:
    field = SineField((16, 16), cutoff=2)
    folded = field.expansion(torch.tensor([[[12.0], [0.0]], [[0.5], [0.0]]], dtype=torch.float64))
    assert folded.inverse().is_bijective().tolist() == [False, True]
    # |det| of the inverse is at least 1 / 1.5 for a slope of at most 0.5 π / 15 < 0.5.
    assert folded.inverse().is_bijective(margin=0.6).tolist() == [False, True]
    assert folded.inverse().is_bijective(margin=2.0).tolist() == [False, False]
