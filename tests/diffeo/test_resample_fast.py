"""The compiled interpolation against functions it is exact for and against `grid_sample`."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from symnets.diffeo import SineField
from symnets.diffeo._linear_interpolation import LINE, lines, resample_linear
from symnets.diffeo._resample import resample

SHAPES = [(2, 2), (3, 5), (2, 509), (509, 2), (28, 28), (7, LINE + 3), (2, 2, 2), (3, 4, 5), (9, 20, 31)]
FAR = (float("inf"), -float("inf"), 3e38, -3e38, 1e10, -1e10, 0.0, -0.0)


def draw(*size: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def pixels(shape: tuple[int, ...]) -> Tensor:
    axes = [torch.arange(n, dtype=torch.float64) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def by_grid_sample(images: Tensor, planes: Tensor) -> Tensor:
    """Images at displaced points by torch's `grid_sample`, in float64."""
    shape = images.shape[2:]
    source = (pixels(tuple(shape)) - planes.to(torch.float64)).movedim(1, -1)
    grid = (2 * source / (torch.tensor(shape) - 1) - 1).flip(-1)
    n = max(len(images), len(planes))
    images = images.to(torch.float64).expand(n, *images.shape[1:])
    grid = grid.expand(n, *grid.shape[1:])
    return F.grid_sample(images, grid, padding_mode="border", align_corners=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_coordinates_are_interpolated_exactly(shape: tuple[int, ...]) -> None:
    def function(s: Tensor) -> Tensor:
        return (s + torch.arange(1, len(shape) + 1).reshape(-1, *[1] * (s.ndim - 1))).prod(0)

    planes = 3 * draw(2, len(shape), *shape)
    last = torch.tensor(shape, dtype=torch.float64).reshape(-1, *[1] * (len(shape) + 1)) - 1
    source = (pixels(shape) - planes).transpose(0, 1).clamp(min=torch.zeros_like(last), max=last)
    image = function(pixels(shape))[None, None]
    warped = resample_linear(image, planes)[:, 0]
    # Rounding of products of up to three coordinates.
    torch.testing.assert_close(warped, function(source), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("scale", [0.3, 1000.0])
def test_agrees_with_grid_sample(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, scale: float
) -> None:
    images, planes = draw(3, 5, *shape, dtype=dtype), scale * draw(3, len(shape), *shape, dtype=dtype, seed=1)
    warped = resample_linear(images, planes)
    assert warped.dtype == dtype
    torch.testing.assert_close(
        warped.to(torch.float64), by_grid_sample(images, planes), rtol=0, atol=4 * tolerance
    )


def test_float32_is_as_exact_in_large_images_as_in_small_ones() -> None:
    """grid_sample rounds coordinates of an image of 400 pixels to 3e-5 of a pixel."""
    images, planes = draw(1, 1, 400, 400, dtype=torch.float32), draw(1, 2, 400, 400, dtype=torch.float32)
    exact = by_grid_sample(images, planes)
    assert (resample_linear(images, planes) - exact).abs().max() < 2e-6


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_integer_displacements_are_exact(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = draw(2, 3, *shape, dtype=dtype)
    still = torch.zeros(1, len(shape), *shape, dtype=dtype)
    assert torch.equal(resample_linear(images, still), images)
    assert torch.equal(resample_linear(images, -still), images)
    still[:, -1] = 1
    columns = (torch.arange(shape[-1]) - 1).clamp(min=0)
    assert torch.equal(resample_linear(images, still), images[..., columns])


@pytest.mark.parametrize("shape", [(3, 5), (28, 28), (3, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_sources_and_nan_take_the_border(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = draw(8, 2, *shape, dtype=dtype)
    choice = torch.randint(len(FAR), (8, len(shape), *shape), generator=torch.Generator().manual_seed(0))
    planes = torch.tensor(FAR, dtype=dtype)[choice]
    place = pixels(shape).to(dtype) - planes
    flat = torch.zeros(8, *shape, dtype=torch.int64)
    for axis, n in enumerate(shape):
        flat = flat * n + place[:, axis].clamp(0, n - 1).to(torch.int64)
    expected = images.flatten(2).gather(2, flat.flatten(1)[:, None].expand(-1, 2, -1)).reshape(images.shape)
    assert torch.equal(resample_linear(images, planes), expected)
    nan = torch.full_like(planes, float("nan"))
    first = images.flatten(2)[..., :1].expand(-1, -1, images[0, 0].numel()).reshape(images.shape)
    assert torch.equal(resample_linear(images, nan), first)
    assert torch.equal(resample(images, planes.movedim(1, -1), "nearest"), expected)
    assert torch.equal(resample(images, nan.movedim(1, -1), "nearest"), first)


def test_memory_layout_does_not_matter() -> None:
    images, planes = draw(3, 4, 9, 11), draw(3, 2, 9, 11, seed=1)
    expected = resample_linear(images, planes)
    views = (
        images.to(memory_format=torch.channels_last),
        images.transpose(2, 3).contiguous().transpose(2, 3),
        draw(6, 8, 9, 11).index_put_((torch.arange(0, 6, 2)[:, None], torch.arange(0, 8, 2)), images)[
            ::2, ::2
        ],
    )
    for view in views:
        assert not view.is_contiguous()
        assert torch.equal(resample_linear(view, planes.flip(-1).flip(-1)), expected)
        assert torch.equal(resample(view, planes.movedim(1, -1).contiguous()), expected)


def test_one_image_or_one_field_is_used_for_many() -> None:
    images, planes = draw(3, 2, 6, 7), draw(3, 2, 6, 7, seed=1)
    each = [resample_linear(images[k : k + 1], planes[k : k + 1]) for k in range(3)]
    assert torch.equal(resample_linear(images, planes), torch.cat(each))
    assert torch.equal(resample_linear(images[:1], planes), resample_linear(images[[0, 0, 0]], planes))
    assert torch.equal(resample_linear(images, planes[:1]), resample_linear(images, planes[[0, 0, 0]]))
    assert resample_linear(images[:0], planes[:0]).shape == (0, 2, 6, 7)
    assert resample_linear(images[:, :0], planes).shape == (3, 0, 6, 7)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", [(64, 64), (8, 32, 32)])
@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_does_not_change_the_result(shape: tuple[int, ...]) -> None:
    images, planes = (
        draw(40, 3, *shape, dtype=torch.float32),
        draw(40, len(shape), *shape, dtype=torch.float32),
    )
    shared = resample_linear(images, planes)
    torch.set_num_threads(1)
    assert torch.equal(resample_linear(images, planes), shared)


@pytest.mark.parametrize("shape", SHAPES)
def test_lines_are_all_pixels_in_order(shape: tuple[int, ...]) -> None:
    within, starts = lines(shape, np.dtype(np.float64))
    together = starts[:, :, None] + within[:, None]
    np.testing.assert_array_equal(together.reshape(len(shape), *shape), pixels(shape).numpy())


def test_shapes_that_would_read_beyond_the_image_are_an_error() -> None:
    images = draw(2, 1, 5, 6)
    for planes in (draw(2, 2, 6, 5), draw(2, 3, 5, 6), draw(3, 2, 5, 6), draw(2, 2, 5, 7)):
        with pytest.raises(ValueError, match="planes: expected one displacement component for each axis"):
            resample_linear(images, planes)
    with pytest.raises(ValueError, match="the dtype of planes"):
        resample_linear(images, draw(2, 2, 5, 6, dtype=torch.float32))
    with pytest.raises(ValueError, match="axes of 2 pixels or more"):
        resample_linear(images[..., :1], draw(2, 2, 5, 1))


def test_a_single_row_is_interpolated_by_torch() -> None:
    images = torch.tensor([1.0, 2.0, 4.0]).reshape(1, 1, 1, 3)
    u = torch.tensor([[9.0, 0.5], [-9.0, 0.5], [0.0, -5.0]]).reshape(1, 1, 3, 2)
    torch.testing.assert_close(resample(images, u), torch.tensor([1.0, 1.5, 4.0]).reshape(1, 1, 1, 3))


def test_derivatives_are_those_of_the_interpolation() -> None:
    images, u = draw(2, 2, 5, 6).requires_grad_(), (0.3 * draw(2, 5, 6, 2, seed=1) + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(resample, (images, u))
    with torch.no_grad():
        torch.testing.assert_close(resample(images, u), resample(images.detach(), u.detach()))
        assert not resample(images, u).requires_grad
    cotangent = draw(2, 2, 5, 6, seed=2)
    pulled = torch.func.vjp(lambda x: resample(x, u.detach()), images.detach())[1](cotangent)[0]
    # Linear in the image: <cotangent, A x> = <Aᵀ cotangent, x>.
    torch.testing.assert_close((pulled * images).sum(), (cotangent * resample(images, u)).sum())


def test_forward_mode_derivatives_use_torch() -> None:
    with forward_ad.dual_level():
        images = forward_ad.make_dual(draw(1, 1, 5, 6), draw(1, 1, 5, 6, seed=2))
        with pytest.raises(NotImplementedError, match="forward AD"):
            resample(images, 0.3 * draw(1, 5, 6, 2, seed=1))


def test_transforms_and_fake_tensors_use_torch() -> None:
    images, u = draw(3, 2, 2, 5, 6), 0.3 * draw(3, 2, 5, 6, 2, seed=1)
    mapped = torch.func.vmap(resample)(images, u)
    torch.testing.assert_close(mapped, torch.stack([resample(x, v) for x, v in zip(images, u, strict=True)]))
    mode = FakeTensorMode()
    fakes = [mode.from_tensor(tensor) for tensor in (images[0], u[0])]
    with mode:
        assert resample(fakes[0], fakes[1]).shape == fakes[0].shape


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_half_precision_images_have_exact_coordinates(dtype: torch.dtype, tolerance: float) -> None:
    """Coordinates are not rounded to the dtype of images: in bfloat16, 301 would become 300."""
    images, u = draw(1, 1, 4, 400), draw(1, 4, 400, 2, seed=1)
    warped = resample(images.to(dtype), u)
    assert warped.dtype == dtype
    exact = resample(images.to(dtype).to(torch.float64), u)
    # One rounding, of numbers up to about 4.
    torch.testing.assert_close(warped.to(torch.float64), exact, rtol=0, atol=tolerance)


def test_warp_of_an_expansion_agrees_with_its_displacement() -> None:
    field = SineField((12, 17), cutoff=3)
    diffeo = field.sample(3, delta=0.8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = draw(3, 2, 12, 17)
    points, _ = diffeo._grid(1)
    slow = diffeo.at(points).reshape(3, 12, 17, 2).movedim(-1, 1)
    torch.testing.assert_close(diffeo.warp(images), by_grid_sample(images, slow), rtol=0, atol=1e-12)
