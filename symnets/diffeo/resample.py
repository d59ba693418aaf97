"""Resample images at displaced pixels."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

Mode = Literal["bilinear", "bicubic", "nearest"]


def resample(
    images: Shaped[Tensor, "n channels *shape"],
    displacement: Float[Tensor, "m *shape dim"],
    mode: Mode = "bilinear",
) -> Shaped[Tensor, "k channels *shape"]:
    """x(s - u(s)), interpolated; what lies outside of an image takes the nearest value of its border.

    Args:
        images: n images or volumes.
        displacement: u in pixels, components in the order of the axes; m = n, or one of them is 1.
        mode: "bilinear" (trilinear in volumes), "bicubic" (images only), or "nearest", exact for any dtype.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode: expected one of {get_args(Mode)}, got {mode!r}")
    shape = images.shape[2:]
    if mode == "bicubic" and len(shape) != 2:
        raise ValueError('mode: "bicubic" is for images; volumes take "bilinear" or "nearest"')
    n = max(len(images), len(displacement))
    images, displacement = (
        images.expand(n, *images.shape[1:]),
        displacement.expand(n, *displacement.shape[1:]),
    )
    if mode == "nearest":
        return _nearest(images, displacement)
    if not images.is_floating_point():
        if images.dtype == torch.bool or images.is_complex():
            raise ValueError(f"images: {images.dtype} cannot be interpolated; masks take mode='nearest'")
        limits = torch.iinfo(images.dtype)
        smooth = resample(images.to(torch.float32), displacement, mode)
        return smooth.round().clamp(limits.min, limits.max).to(images.dtype)
    source = _source(displacement.to(images.dtype), shape)
    # grid_sample counts from -1 to 1, the last axis first.
    sizes = torch.tensor([max(size - 1, 1) for size in shape], dtype=images.dtype, device=images.device)
    grid = (source * (2 / sizes) - 1).flip(-1)
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=True)


def _source(displacement: Tensor, shape: torch.Size) -> Float[Tensor, "n *shape dim"]:
    """s - u(s)."""
    axes = [torch.arange(size, dtype=displacement.dtype, device=displacement.device) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) - displacement


def _nearest(images: Tensor, displacement: Tensor) -> Tensor:
    """Values of the nearest pixels, by index: no arithmetic touches them."""
    source = _source(displacement.detach(), images.shape[2:]).round().to(torch.int64)
    flat = torch.zeros_like(source[..., 0])
    for axis, size in enumerate(images.shape[2:]):
        flat = flat * size + source[..., axis].clamp(0, size - 1)
    index = flat.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).reshape(images.shape)
