"""Interpolation of images and volumes at displaced pixels."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor

from symnets.diffeo._eager import no_derivatives

Mode = Literal["bilinear", "bicubic", "nearest"]


def resample(
    images: Shaped[Tensor, "n channels *shape"],
    displacement: Shaped[Tensor, "m *shape dim"],
    mode: Mode = "bilinear",
) -> Shaped[Tensor, "k channels *shape"]:
    """Images at displaced points, x(s - u(s)); outside of an image, the value of the nearest border pixel.

    On the CPU, "bilinear" without derivatives is `resample_linear`. With derivatives, and on a GPU, it is
    torch's `grid_sample`, whose derivative with respect to the images is not deterministic on a GPU. Half
    precision and integers are interpolated in float32; integers are then rounded.

    Args:
        images: n images or volumes.
        displacement: u in pixels, components in the order of the axes; m = n, or one of the two is 1.
        mode: "bilinear" (trilinear in volumes), "bicubic" (images only), or "nearest", exact for any dtype.

    Raises:
        ValueError: an unknown mode, "bicubic" of volumes, or interpolation of booleans or complex numbers.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode: expected one of {get_args(Mode)}, got {mode!r}")
    shape = images.shape[2:]
    if mode == "bicubic" and len(shape) != 2:
        raise ValueError('mode: "bicubic" is for images; use "bilinear" or "nearest" for volumes')
    if mode == "nearest":
        return _nearest(*_as_many(images, displacement))
    if images.dtype in (torch.float16, torch.bfloat16):
        return resample(images.to(torch.float32), displacement, mode).to(images.dtype)
    if not images.is_floating_point():
        if images.dtype == torch.bool or images.is_complex():
            raise ValueError(f"images: {images.dtype} cannot be interpolated; use mode='nearest' for masks")
        limits = torch.iinfo(images.dtype)
        smooth = resample(images.to(torch.float32), displacement, mode)
        return smooth.round().clamp(limits.min, limits.max).to(images.dtype)
    displacement = displacement.to(images.dtype)
    if mode == "bilinear" and min(shape) >= 2 and _values_only(images, displacement):
        from symnets.diffeo._linear_interpolation import resample_linear  # imports numba

        return resample_linear(images, displacement.movedim(-1, 1))
    # grid_sample's coordinates run from -1 to 1, the last axis first. Nothing here synchronises with a GPU.
    axes = zip(_pixels(displacement), displacement.unbind(-1), shape, strict=True)
    grid = [(pixels - u) * (2 / max(size - 1, 1)) - 1 for pixels, u, size in axes]
    images, grid = _as_many(images, torch.stack(grid[::-1], dim=-1))
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=True)


def _pixels(displacement: Tensor) -> tuple[Tensor, ...]:
    """Pixel coordinates s: one tensor for each axis."""
    sizes, dtype, device = displacement.shape[1:-1], displacement.dtype, displacement.device
    return torch.meshgrid(*[torch.arange(n, dtype=dtype, device=device) for n in sizes], indexing="ij")


def _as_many(images: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """Images and displacement fields in equal numbers: a single image, or a single field, is repeated."""
    n = max(len(images), len(field))
    return images.expand(n, *images.shape[1:]), field.expand(n, *field.shape[1:])


def _values_only(images: Tensor, displacement: Tensor) -> bool:
    """Whether no derivatives are required, and both tensors are on the CPU."""
    return no_derivatives(images, displacement) and images.device.type == displacement.device.type == "cpu"


SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}
"""Dtypes of the same width that torch can index, for unsigned integers, which it cannot."""


def _nearest(images: Tensor, displacement: Tensor) -> Tensor:
    """Values of the nearest pixels, by indexing, without arithmetic on them."""
    if images.dtype in SIGNED:
        return _nearest(images.view(SIGNED[images.dtype]), displacement).view(images.dtype)
    flat = images.new_zeros((), dtype=torch.int64)
    displacement = displacement.detach()
    for pixels, u, size in zip(_pixels(displacement), displacement.unbind(-1), images.shape[2:], strict=True):
        source = (pixels - u).nan_to_num(0, size, 0).clamp(0, size - 1)
        flat = flat * size + source.round().to(torch.int64)
    index = flat.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).reshape(images.shape)
