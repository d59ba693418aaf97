"""Eager: whether torch works on numbers at once, and whether anyone wants their derivatives.

Bases of deformations: products of functions of one coordinate each, with first derivatives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad


def at_once() -> bool:
    """Whether operations run as they are called, on tensors that hold numbers.

    Not so while torch compiles or traces, inside of `torch.func` transforms, and under fake or counting
    tensors: what is made there may not outlive it.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return False
    c = torch._C
    return c._functorch.peek_interpreter_stack() is None and c._len_torch_dispatch_stack() == 0  # pyright: ignore[reportAttributeAccessIssue]


def values_suffice(*tensors: Tensor) -> bool:
    """Whether of a function of these tensors all that is asked for are its values."""
    if not at_once():
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    return all(forward_ad.unpack_dual(tensor).tangent is None for tensor in tensors)


class Basis(Protocol):
    """φ_k(x) = Π_a φ_(a, k_a)(x_a); k_a counts the functions of axis a from 0. All are zero on the border
    of the box Π_a [0, e_a] and outside of it: what is there does not move.
    """

    @property
    def extents(self) -> tuple[float, ...]:
        """e_a, the last coordinate of each axis: n_a - 1 of n_a pixels."""
        ...

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of functions of each axis."""
        ...

    def table(self, axis: int, x: Float[Tensor, "*points"], order: int = 0) -> Float[Tensor, "*points size"]:
        """Values (order 0) or first derivatives (1) of the functions of an axis at coordinates, in pixels.

        Differentiable in x. Bases are hashable: tables of pixels are kept.
        """
        ...

    def resized(self, extents: Sequence[float]) -> Self:
        """The same functions of a box of another size."""
        ...


@dataclass(frozen=True)
class SineBasis:
    """sin(π k x_a / e_a), k = 1, ..., size: zero at both ends of each axis.

    Attributes:
        extents: e_a, the last coordinate of each axis: n_a - 1 of n_a pixels.
        sizes: number of waves along each axis.
    """

    extents: tuple[float, ...]
    sizes: tuple[int, ...]

    def table(self, axis: int, x: Float[Tensor, "*points"], order: int = 0) -> Float[Tensor, "*points size"]:
        """As `Basis.table`; exactly zero at the ends."""
        k = torch.arange(1, self.sizes[axis] + 1, dtype=x.dtype, device=x.device)
        extent = self.extents[axis]
        # The fraction before the factor π: sin(π k) is not zero in floating point.
        phase = x.clamp(0, extent)[..., None] / extent * k
        turns = phase.round().detach()
        sign = 1 - 2 * turns.remainder(2)
        rest = math.pi * (phase - turns)
        if order == 0:
            return sign * rest.sin()
        return sign * rest.cos() * (math.pi / extent) * k * within(x, extent)[..., None]

    def resized(self, extents: Sequence[float]) -> "SineBasis":
        """As `Basis.resized`."""
        return replace(self, extents=tuple(extents))


def within(x: Float[Tensor, "*points"], extent: float) -> Float[Tensor, "*points"]:
    """1 from 0 to `extent`, both included, and 0 elsewhere."""
    return ((x >= 0) & (x <= extent)).to(x.dtype)


def pixel_table(
    basis: Basis, axis: int, n: int, refine: int, order: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "points size"]:
    """`Basis.table` at the pixels of an axis, and at `refine` - 1 points between two; kept for next time."""
    # Fake tensors and those of a transform end with it, and must not be found by whoever comes next.
    table = _kept if at_once() else _pixel_table
    return table(basis, axis, n, refine, order, dtype, device)


def _pixel_table(
    basis: Basis, axis: int, n: int, refine: int, order: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "points size"]:
    # What inference mode makes can never be part of a graph of derivatives.
    with torch.inference_mode(False), torch.no_grad():
        x = torch.arange((n - 1) * refine + 1, dtype=torch.float64, device="cpu") / refine
        return basis.table(axis, x, order).to(device=device, dtype=dtype)


_kept = lru_cache(maxsize=64)(_pixel_table)
