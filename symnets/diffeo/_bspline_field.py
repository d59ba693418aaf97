"""Free-form deformations: random cubic B-spline fields."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo._basis import within
from symnets.diffeo._field import Field, image_shape


@dataclass(frozen=True)
class BSplineBasis:
    """Cubic B-splines β at equally spaced control points inside of each axis, minus their mirror images:

        φ_k(x) = β(t - k) - β(-t - k) - β(2m - t - k),     t = m x / e_a,     k = 1, ..., m - 1 = size.

    β has continuous second derivatives and is nonzero for |t| < 2. The mirror images at both ends have
    opposite sign, so that φ vanishes there. Where both ends are at least two intervals away, the φ sum to 1.

    Attributes:
        extents: e_a, the last coordinate of each axis.
        sizes: control points inside of each axis; m = size + 1 intervals.
    """

    extents: tuple[float, ...]
    sizes: tuple[int, ...]

    def table(self, axis: int, x: Float[Tensor, "*points"], order: int = 0) -> Float[Tensor, "*points size"]:
        """Values or derivatives of the functions, see `Basis.table`; values at the ends are exactly zero."""
        size, extent = self.sizes[axis], self.extents[axis]
        k = torch.arange(1, size + 1, dtype=x.dtype, device=x.device)
        t = (x.clamp(0, extent) / extent * (size + 1))[..., None]
        ends = 2.0 * (size + 1)
        if order == 0:
            return bspline(t - k) - bspline(t + k) - bspline(t + k - ends)
        slope = bspline_slope(t - k) - bspline_slope(t + k) - bspline_slope(t + k - ends)
        return slope * ((size + 1) / extent) * within(x, extent)[..., None]

    def resized(self, extents: Sequence[float]) -> "BSplineBasis":
        """The basis on another grid, see `Basis.resized`."""
        return replace(self, extents=tuple(extents))

    def mean_square(self, axis: int) -> float:
        """Mean over an axis of Σ_k φ_k²."""
        intervals = self.sizes[axis] + 1
        # Between control points the squares are polynomials of degree 6; four Gauss points are exact.
        nodes, weights = np.polynomial.legendre.leggauss(4)
        step = self.extents[axis] / intervals
        inside = torch.from_numpy((nodes + 1) / 2) * step
        x = torch.arange(intervals, dtype=torch.float64, device="cpu")[:, None] * step + inside
        squares = self.table(axis, x).square().sum(-1)
        return float((squares * torch.from_numpy(weights / 2)).sum() / intervals)


class BSplineField(Field):
    """Random free-form deformations (Rueckert et al. 1999): cubic B-splines with random control points.

    Each control point inside of the image is displaced independently; the border does not move.

    Args:
        shape: pixels along each axis: (rows, columns) or (depth, rows, columns).
        spacing: pixels between control points; rounded so that an integer number fits between the borders.

    Raises:
        ValueError: a spacing below one pixel, or so large that no control point lies inside.

    Example:
        >>> BSplineField((28, 28), spacing=9).basis.sizes
        (2, 2)
    """

    def __init__(self, shape: Sequence[int], *, spacing: float) -> None:
        pixels = image_shape(shape)
        extents = tuple(n - 1.0 for n in pixels)
        largest = min(extents) / 1.5  # gives two intervals after rounding: one control point
        if not 1 <= spacing <= largest:
            raise ValueError(
                f"spacing: expected 1 to {largest:.4g} pixels for at least one control point inside of "
                f"{pixels}, got {spacing}"
            )
        self.spacing = float(spacing)
        basis = BSplineBasis(extents, tuple(round(extent / spacing) - 1 for extent in extents))
        modes = torch.cartesian_prod(*[torch.arange(1, size + 1, device="cpu") for size in basis.sizes])
        dim = len(pixels)
        squared = dim * math.prod(basis.mean_square(axis) for axis in range(dim))
        amplitudes = torch.full((len(modes),), squared**-0.5, dtype=torch.float64, device="cpu")
        super().__init__(basis, modes.reshape(-1, dim), amplitudes, pixels)

    def __repr__(self) -> str:
        return f"BSplineField({self.shape}, spacing={self.spacing:g})"

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis at which folds are checked: four in each interval."""
        return tuple(4 * (size + 1) + 1 for size in self.basis.sizes)


def bspline(t: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
    """β(t), the cubic B-spline with knots at -2, -1, 0, 1, 2."""
    distance = t.abs()
    return ((2 - distance).relu().pow(3) - 4 * (1 - distance).relu().pow(3)) / 6


def bspline_slope(t: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
    """Derivative dβ / dt of the cubic B-spline."""
    distance = t.abs()
    return -t.sign() * ((2 - distance).relu().square() - 4 * (1 - distance).relu().square()) / 2
