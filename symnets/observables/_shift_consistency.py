"""Shift consistency: how often a classifier gives two shifted copies of an image the same class."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from scipy.stats import binomtest
from torch import Generator, Tensor, nn

from symnets.observables._as_found import as_found


def check_pixels(images: Any) -> None:
    """Checks that images are a floating-point tensor with finite pixels and at least one image.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: no image, or NaN or infinite pixels.
    """
    if not isinstance(images, Tensor):
        hint = "; use images.scaled()" if hasattr(images, "scaled") else ""
        raise TypeError(
            f"images: expected a tensor (n, channels, rows, columns), got {type(images).__name__}{hint}"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"images: expected a floating-point tensor, normalised as in training, got {images.dtype}; "
            "divide by 255 first, or use Images.scaled()"
        )
    if images.ndim > 0 and images.numel() == 0:
        raise ValueError(f"images: expected at least one image, got shape {tuple(images.shape)}")
    low, high = torch.aminmax(images.detach())  # NaN propagates to both
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("images: expected finite pixels, got NaN or infinity; remove these images first")


NO_CLASS = -1
"""Index in place of the class where outputs are NaN."""


@dataclass(frozen=True)
class ShiftConsistency:
    """Fraction of images that have the same class under two random shifts, with its interval."""

    value: float
    """The fraction, from 0 to 1."""
    low: float
    """Lower end of the 95% confidence interval of a binomial fraction (Wilson)."""
    high: float
    """Upper end of that interval."""
    n: int
    """Number of images."""
    max_shift: int
    """Largest shift along rows and columns, pixels."""

    @property
    def standard_error(self) -> float:
        """√(value (1 - value) / n), binomial."""
        return math.sqrt(self.value * (1 - self.value) / self.n)


@torch.no_grad()
def shift_consistency(
    model: nn.Module,
    images: Float[Tensor, "n channels rows columns"],
    *,
    max_shift: int,
    generator: Generator,
    batch_size: int = 500,
) -> ShiftConsistency:
    """Shift consistency of a classifier, P(argmax f(x shifted by a) = argmax f(x shifted by b)).

    Defined by Zhang 2019 (arXiv:1904.11486). Shifts a and b are integer numbers of pixels, uniform in
    [-max_shift, max_shift]² and independent for each image; a = b may occur. Pixels that move in from outside
    take the value of the nearest pixel of the border. Unlike the deformations of `stability`, a shift does
    not vanish on the border. The model is evaluated in eval mode and left as found. NaN outputs have no class
    and count as inconsistent.

    Args:
        model: any module with outputs (n, classes).
        images: inputs of the model, normalised as in training.
        max_shift: m >= 0, smaller than the image; 0 gives a consistency of 1.
        generator: source of the shifts; independent of the batch size.
        batch_size: images in a forward pass.

    Raises:
        TypeError: images that are not a floating-point tensor.
        ValueError: no image, another shape, NaN or infinite pixels, a shift that is too large, or outputs of
            a shape other than (n, classes).
    """
    check_pixels(images)
    if images.ndim != 4:
        raise ValueError(f"images: expected shape (n, channels, rows, columns), got {tuple(images.shape)}")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if not 0 <= max_shift < min(images.shape[2:]):
        raise ValueError(
            f"max_shift: expected 0 to {min(images.shape[2:]) - 1} for images of "
            f"{images.shape[2]} x {images.shape[3]} pixels, got {max_shift}"
        )
    n = len(images)
    all_shifts = torch.randint(
        -max_shift, max_shift + 1, (n, 2, 2), generator=generator, device=generator.device
    ).to(images.device)
    like = next(model.parameters(), images)
    n_equal = torch.zeros((), dtype=torch.int64, device=like.device)
    with as_found(model):
        model.eval()
        for x, shifts in zip(images.split(batch_size), all_shifts.split(batch_size), strict=True):
            first, second = (_classes(model, shifted(x, shifts[:, k]).to(like)) for k in (0, 1))
            n_equal += ((first == second) & (first != NO_CLASS)).sum()
    n_consistent = int(n_equal)
    low, high = binomtest(n_consistent, n).proportion_ci(0.95, method="wilson")
    return ShiftConsistency(n_consistent / n, float(low), float(high), n, max_shift)


def shifted(
    images: Float[Tensor, "n channels rows columns"], shifts: Int64[Tensor, "n 2"]
) -> Float[Tensor, "n channels rows columns"]:
    """Images, each shifted by its own (rows, columns); outside pixels repeat the nearest border pixel."""
    axes = []
    for axis, size in enumerate(images.shape[2:]):
        source = torch.arange(size, device=images.device) - shifts[:, axis, None]
        axes.append(source.clamp(0, size - 1))
    rows, columns = axes
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[:, None, None]
    return images[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _classes(model: nn.Module, x: Tensor) -> Int64[Tensor, " n"]:
    outputs = model(x)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != len(x):
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"model: expected outputs ({len(x)}, classes), got {shape}")
    # argmax returns the index of the first NaN, which would be the same class every time.
    return outputs.argmax(1).masked_fill(outputs.isnan().any(1), NO_CLASS)
