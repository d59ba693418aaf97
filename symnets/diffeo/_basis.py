"""Bases of displacement fields: products of functions of one coordinate, with first derivatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.diffeo._eager import is_eager


class Basis(Protocol):
    """Products of functions of one coordinate, φ_k(x) = Π_a φ_(a, k_a)(x_a).

    k_a counts the functions φ_(a, k_a) of axis a from 0. All products are zero on the border of the box
    Π_a [0, e_a] and outside of it, so that points there do not move.
    """

    @property
    def extents(self) -> tuple[float, ...]:
        """e_a, the last coordinate of each axis: n_a - 1 of n_a pixels."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of functions along each axis."""
        ...

    def table(self, axis: int, x: Float[Tensor, "*points"], order: int = 0) -> Float[Tensor, "*points size"]:
        """Values (order 0) or derivatives (order 1) of the functions of an axis at coordinates in pixels.

        Differentiable in x. Bases are hashable, so that tables at the pixels can be cached.
        """
        ...

    def resized(self, extents: Sequence[float]) -> Self:
        """The same functions, for a box of another size."""
        ...


@dataclass(frozen=True)
class SineBasis:
    """Sine waves sin(π k x_a / e_a), k = 1, ..., size, which are zero at both ends of each axis.

    Attributes:
        extents: e_a, the last coordinate of each axis: n_a - 1 of n_a pixels.
        sizes: number of waves along each axis.
    """

    extents: tuple[float, ...]
    sizes: tuple[int, ...]

    def table(self, axis: int, x: Float[Tensor, "*points"], order: int = 0) -> Float[Tensor, "*points size"]:
        """Values or derivatives of the functions, see `Basis.table`; values at the ends are exactly zero."""
        k = torch.arange(1, self.sizes[axis] + 1, dtype=x.dtype, device=x.device)
        extent = self.extents[axis]
        # Subtract whole half turns first: sin(π k) is not exactly zero in floating point.
        phase = x.clamp(0, extent)[..., None] / extent * k
        half_turns = phase.round().detach()
        sign = 1 - 2 * half_turns.remainder(2)
        angle = math.pi * (phase - half_turns)
        if order == 0:
            return sign * angle.sin()
        return sign * angle.cos() * (math.pi / extent) * k * within(x, extent)[..., None]

    def resized(self, extents: Sequence[float]) -> "SineBasis":
        """The basis on another grid, see `Basis.resized`."""
        return replace(self, extents=tuple(extents))


def within(x: Float[Tensor, "*points"], extent: float) -> Float[Tensor, "*points"]:
    """Indicator function of the interval from 0 to `extent`: 1 there, ends included, and 0 elsewhere."""
    return ((x >= 0) & (x <= extent)).to(x.dtype)


def pixel_table(
    basis: Basis, axis: int, n: int, refine: int, order: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "points size"]:
    """`Basis.table` at the pixels of an axis and at `refine` - 1 points between neighbours; cached."""
    # Fake tensors, and tensors made inside a transform, must not enter the cache.
    table = _cached_pixel_table if is_eager() else _pixel_table
    return table(basis, axis, n, refine, order, dtype, device)


def _pixel_table(
    basis: Basis, axis: int, n: int, refine: int, order: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "points size"]:
    # Tensors made in inference mode could never be used in a computation with gradients.
    with torch.inference_mode(False), torch.no_grad():
        x = torch.arange((n - 1) * refine + 1, dtype=torch.float64, device="cpu") / refine
        return basis.table(axis, x, order).to(device=device, dtype=dtype)


_cached_pixel_table = lru_cache(maxsize=64)(_pixel_table)
