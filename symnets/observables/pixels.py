"""Pixels that can be measured: the door of all observables that are shown images."""

import math
from typing import Any

import torch
from torch import Tensor


def check_pixels(images: Any) -> None:
    """Passes a tensor of finite floating numbers, at least one image.

    Raises:
        TypeError: not a tensor of floating numbers.
        ValueError: no image, or NaN or infinite pixels.
    """
    if not isinstance(images, Tensor):
        hint = "; take images.scaled()" if hasattr(images, "scaled") else ""
        raise TypeError(
            f"images: expected a tensor (n, channels, rows, columns), got {type(images).__name__}{hint}"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"images: expected floating numbers, normalised as the model was trained, got {images.dtype}; "
            "divide by 255 first, or take Images.scaled()"
        )
    if images.ndim > 0 and images.numel() == 0:
        raise ValueError(f"images: expected at least one, got a tensor of shape {tuple(images.shape)}")
    low, high = torch.aminmax(images.detach())  # NaN shows in both
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("images: expected finite pixels, got NaN or infinity; remove these images first")
