"""Shared parts of image nets: initial weights, numbers of channels and poolings, checks of images."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


def init_weights(model: nn.Module, readout: nn.Linear) -> None:
    """Initialise all weights of convolutions and linear maps from torch's global generator.

        w ~ N(0, 2 / fan-in),   readout: w ~ N(0, 1 / fan-in),   biases 0,

    where fan-in is the number of inputs of one output, channels · kernel². The factor 2 compensates for ReLU,
    which halves the second moment (He et al. 2015, arXiv:1502.01852); no ReLU follows the readout. Batch
    normalisations keep torch's initial factor 1 and shift 0.

    Args:
        model: net whose weights are overwritten.
        readout: its last layer.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = 1.0 if module is readout else 2.0
            nn.init.normal_(module.weight, std=math.sqrt(gain / module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


SMALLEST = 4
"""Smallest number of rows and columns of images for convolutional nets."""


def check_sizes(
    shape: Sequence[int], n_classes: int, width: float, *, smallest: int = SMALLEST
) -> tuple[int, int, int]:
    """Check the sizes of an image net; returns the shape of an image as (channels, rows, columns).

    Raises:
        ValueError: the shape does not have three sizes, a size is too small, or the width is not positive.
    """
    sizes = tuple(int(size) for size in shape)
    if len(sizes) != 3:
        raise ValueError(f"shape: expected (channels, rows, columns), got {sizes}")
    channels, rows, columns = sizes
    if channels < 1:
        raise ValueError(f"shape: expected at least 1 channel, got {channels} in {sizes}")
    if min(rows, columns) < smallest:
        raise ValueError(
            f"shape: expected at least {smallest} rows and columns, got {rows} x {columns} in {sizes}; "
            "channels come first"
        )
    if n_classes < 1:
        raise ValueError(f"n_classes: expected at least 1, got {n_classes}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width: expected a positive factor of the numbers of channels, got {width}")
    return channels, rows, columns


def scaled(size: int, width: float) -> int:
    """Number of channels or units times the width, rounded to a whole number of at least 1."""
    return max(1, round(size * width))


def n_poolings(shape: Sequence[int], most: int) -> int:
    """Number of poolings by 2 (rounded down) that leave at least one pixel, but at most `most`.

    Example:
        28 goes to 14, 7, 3, 1: `n_poolings((1, 28, 28), 5)` is 4.
    """
    return min(most, min(shape[-2:]).bit_length() - 1)


def check_images(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Check that images have the shape that a net was built for; returns them.

    Raises:
        ValueError: they have another shape; the message names both.
    """
    image_shape = tuple(images.shape[1:])
    if images.ndim != 4 or image_shape != tuple(shape):
        expected = ", ".join(map(str, shape))
        channels_last = image_shape[-1:] + image_shape[:-1] == tuple(shape)
        hint = "; channels come first: images.permute(0, 3, 1, 2)" if channels_last else ""
        raise ValueError(f"images: expected shape (n, {expected}), got {tuple(images.shape)}{hint}")
    return images
