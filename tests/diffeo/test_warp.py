"""Deformed images against loops over pixels."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from symnets.diffeo import Affine, Expansion, SineField
from tests.diffeo.fields import FIELDS, gentle, seeded
from tests.naive import diffeo as naive


def strong(shape: tuple[int, ...], n: int = 2, delta: float = 1.0, cutoff: float = 3) -> Expansion:
    """Deformations in float64 with displacements of about one pixel."""
    field = SineField(shape, cutoff=cutoff)
    return field.sample(n, delta=delta, generator=seeded(), bijective=True, dtype=torch.float64)


def blob(centre: Tensor, shape: tuple[int, ...], width: float = 2.0) -> Tensor:
    """A bright spot, (1, 1, *shape)."""
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return (-(points - centre).square().sum(-1) / (2 * width**2)).exp()[None, None]


def centre_of_mass(image: Tensor) -> Tensor:
    """Σ s x(s) / Σ x(s)."""
    axes = [torch.arange(n, dtype=torch.float64) for n in image.shape]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return (points * image[..., None]).flatten(0, -2).sum(0) / image.sum()


@pytest.mark.parametrize("derivatives", [False, True])  # each has a path of its own
@pytest.mark.parametrize("shape", [(9, 9), (8, 11), (6, 7, 5)])
def test_warp_by_loops(shape: tuple[int, ...], derivatives: bool) -> None:
    diffeo = strong(shape, delta=0.5, cutoff=2)
    images = torch.rand(2, 2, *shape, dtype=torch.float64, generator=seeded(1))
    found = diffeo.warp(images.requires_grad_(derivatives)).detach()
    images = images.detach()
    for k, channel in itertools.product(range(2), range(2)):
        expected = naive.warp(images[k, channel], diffeo.coefficients[k])
        torch.testing.assert_close(found[k, channel], expected, rtol=0, atol=1e-12)


def test_sources_outside_are_clamped_by_loops() -> None:
    # Folding and shifting: sources leave the image on all sides.
    shift = Affine.translation([[2.3, -1.6], [-30.0, 0.5]], (7, 8), dtype=torch.float64)
    images = torch.rand(2, 1, 7, 8, dtype=torch.float64, generator=seeded())
    found = shift.warp(images)
    for k, (i, j) in itertools.product(range(2), itertools.product(range(7), range(8))):
        source = [i - float(shift.shift[k, 0]), j - float(shift.shift[k, 1])]
        assert float(found[k, 0, i, j]) == pytest.approx(naive.bilinear(images[k, 0], source), abs=1e-12)


@pytest.mark.parametrize("name", FIELDS)
def test_border_of_images_is_unchanged(name: str) -> None:
    diffeo = gentle(FIELDS[name], n=2)
    images = torch.rand(2, 1, *diffeo.grid_shape, dtype=torch.float64, generator=seeded())
    warped = diffeo.warp(images)
    assert not torch.allclose(warped, images, atol=1e-3)
    if diffeo.dim == 2:
        for axis, end in itertools.product((2, 3), (0, -1)):
            # What is on an edge stays on it only for the components across; corners stay.
            torch.testing.assert_close(warped.select(axis, end), images.select(axis, end), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(40, 40), (30, 50), (24, 24, 24)])
def test_content_moves_as_push(shape: tuple[int, ...]) -> None:
    diffeo = strong(shape, n=3, delta=1.5 if len(shape) == 2 else 0.8, cutoff=2)
    centre = torch.tensor([0.42 * n for n in shape], dtype=torch.float64)
    there = diffeo.push(centre[None])[:, 0]
    warped = diffeo.warp(blob(centre, shape))
    for k in range(3):
        # A blob of width 2 is deformed itself: what it misses is of second order.
        missed = (centre_of_mass(warped[k, 0]) - there[k]).norm()
        assert float(missed) < 0.35 * float((there[k] - centre).norm())
        assert float(missed) < 0.5
    torch.testing.assert_close(diffeo.pull(there[:, None])[:, 0], centre.expand(3, -1), rtol=0, atol=1e-9)


def test_direction_of_a_known_displacement() -> None:
    # u = (0, +3) in the middle: content moves to larger columns, and comes from smaller ones.
    field = SineField((33, 33), cutoff=2)
    diffeo = field.expansion(torch.tensor([[[0.0], [3.0]]], dtype=torch.float64))
    middle = torch.tensor([[16.0, 16.0]], dtype=torch.float64)
    torch.testing.assert_close(diffeo.pull(middle)[0, 0], torch.tensor([16.0, 13.0], dtype=torch.float64))
    assert float(diffeo.push(middle)[0, 0, 1]) > 18.5
    moved = centre_of_mass(diffeo.warp(blob(middle[0], (33, 33)))[0, 0])
    assert float(moved[1]) > 18.5
    assert float(moved[0]) == pytest.approx(16, abs=1e-6)


def test_linear_images_are_warped_exactly() -> None:
    # Interpolation of a function linear in the coordinates is exact: x(s - u) = x(s) - g·u.
    diffeo = strong((12, 15))
    rows, columns = torch.meshgrid(torch.arange(12.0).double(), torch.arange(15.0).double(), indexing="ij")
    image = (2 * rows - 3 * columns)[None, None]
    u = diffeo.displacement()
    expected = image - (2 * u[..., 0] - 3 * u[..., 1])[:, None]
    torch.testing.assert_close(diffeo.warp(image), expected, rtol=0, atol=1e-11)


def test_smooth_images_are_interpolated_to_second_order() -> None:
    errors = []
    for n in (33, 65):
        field = SineField((n, n), cutoff=3)
        unit = torch.randn(1, 2, field.n_modes, generator=seeded(), dtype=torch.float64)
        diffeo = field.expansion(0.01 * (n - 1) * unit)
        points = diffeo._grid(1)[0]
        image, exact = ((x * 4 / (n - 1)).sin().prod(-1) for x in (points, diffeo.pull(points)[0]))
        errors.append(float((diffeo.warp(image.reshape(1, 1, n, n)).flatten() - exact).abs().max()))
    assert 3 < errors[0] / errors[1] < 5.5


def test_bicubic_weights_are_those_of_torch() -> None:
    # Keys' kernel with a = -3/4, for content that comes from a quarter of a pixel below each row.
    a, weights = -0.75, []
    for t in (1.25, 0.25, 0.75, 1.75):
        near = (a + 2) * t**3 - (a + 3) * t**2 + 1
        weights.append(near if t <= 1 else a * (t**3 - 5 * t**2 + 8 * t - 4))
    image = torch.rand(1, 1, 9, 7, dtype=torch.float64, generator=seeded())
    found = Affine.translation([-0.25, 0.0], (9, 7), dtype=torch.float64).warp(image, "bicubic")
    expected = sum(w * image[:, :, k : k + 6] for k, w in enumerate(weights))
    torch.testing.assert_close(found[:, :, 1:7], expected, rtol=0, atol=1e-12)


def test_nearest_creates_no_new_values() -> None:
    diffeo = strong((12, 15))
    labels = torch.randint(0, 7, (2, 1, 12, 15), generator=seeded())
    warped = diffeo.warp(labels, "nearest")
    assert warped.dtype == torch.int64
    source = (diffeo._grid(1)[0] - diffeo.displacement().flatten(1, 2)).round().to(torch.int64)
    for k in range(2):
        expected = [int(labels[k, 0, min(max(i, 0), 11), min(max(j, 0), 14)]) for i, j in source[k].tolist()]
        assert warped[k].flatten().tolist() == expected
    masks = labels > 3
    assert torch.equal(diffeo.warp(masks, "nearest"), warped > 3)


def test_integers_are_interpolated_and_rounded() -> None:
    diffeo = strong((12, 15))
    images = torch.randint(0, 256, (2, 3, 12, 15), generator=seeded(), dtype=torch.uint8)
    warped = diffeo.warp(images)
    assert warped.dtype == torch.uint8
    assert (warped.float() - diffeo.warp(images.double()).float()).abs().max() <= 0.5 + 1e-3


def test_one_image_or_one_deformation_is_used_for_many() -> None:
    diffeo = strong((12, 15), n=3)
    images = torch.rand(3, 2, 12, 15, dtype=torch.float64, generator=seeded())
    many = diffeo.warp(images[:1])
    torch.testing.assert_close(many, diffeo.warp(images[:1].repeat(3, 1, 1, 1)))
    one = diffeo[:1].warp(images)
    torch.testing.assert_close(one[2], diffeo[:1].warp(images[2:])[0])


def test_differentiable_in_image_and_field() -> None:
    field = SineField((6, 7), cutoff=2.5)
    coefficients = 0.3 * torch.randn(2, 2, field.n_modes, generator=seeded(), dtype=torch.float64)
    images = torch.rand(2, 1, 6, 7, dtype=torch.float64, generator=seeded(1))
    inputs = (coefficients.requires_grad_(True), images.requires_grad_(True))
    assert torch.autograd.gradcheck(lambda c, x: field.expansion(c).warp(x)[..., 1:-1, 1:-1], inputs)


def test_float32_is_close_to_float64() -> None:
    diffeo = strong((28, 28))
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64, generator=seeded())
    single = diffeo.to(dtype=torch.float32).warp(images.float())
    # A coordinate of 28 is resolved to 28 · 2^-23, slopes of the image are at most 1.
    torch.testing.assert_close(single.double(), diffeo.warp(images), rtol=0, atol=2e-5)
    mixed = diffeo.warp(images.float())
    assert mixed.dtype == torch.float32


def test_bad_input() -> None:
    diffeo = strong((12, 15))
    with pytest.raises(ValueError, match=r"expected shape \(n, channels, 12, 15\), got \(2, 1, 15, 12\)"):
        diffeo.warp(torch.rand(2, 1, 15, 12))
    with pytest.raises(ValueError, match=r"expected shape \(n, channels, 12, 15\), got \(12, 15\)"):
        diffeo.warp(torch.rand(12, 15))
    with pytest.raises(
        ValueError, match="expected 2 images, one for each deformation, or a single one, got 3"
    ):
        diffeo.warp(torch.rand(3, 1, 12, 15))
    with pytest.raises(ValueError, match="mode: expected one of"):
        diffeo.warp(torch.rand(2, 1, 12, 15), "cubic")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="use mode='nearest' for masks"):
        diffeo.warp(torch.ones(2, 1, 12, 15, dtype=torch.bool))
    with pytest.raises(ValueError, match=r'"bicubic" is for images'):
        strong((6, 7, 8), delta=0.1).warp(torch.rand(2, 1, 6, 7, 8), "bicubic")
    with pytest.raises(ValueError, match=r"points: expected shape \(points, 2\)"):
        diffeo.at(torch.rand(4, 3))
    assert math.prod(diffeo.grid_shape) == 180


def test_zero_displacement_is_the_identity_bit_for_bit() -> None:
    field = SineField((12, 15), cutoff=3)
    some = field.sample(3, delta=torch.tensor([0.0, 0.5, 0.0]), generator=seeded())
    images = torch.rand(3, 2, 12, 15, generator=seeded())
    with torch.no_grad():
        warped = some.warp(images)
    assert torch.equal(warped[[0, 2]], images[[0, 2]])
    # With derivatives torch counts coordinates from -1 to 1, which rounds.
    warped = some.warp(images.requires_grad_(True))
    torch.testing.assert_close(warped[0], images[0], rtol=0, atol=1e-5)
