"""Tangent kernels as sums of products of Gram matrices, computed tile by tile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables._tangent_kernel._points import ranges

TILE = 256
"""Side of a tile on the CPU: its three matrices fit into the cache of a core."""


@dataclass(frozen=True)
class Term:
    """Part of a tangent kernel on a set of points: (scale · Aᵀ A' + offset) ∘ D_cᵀ D'_c'.

    For a linear layer A are its inputs and D_c = ∂f_c/∂z the signals of output c, the scale is the square of
    the factor in front of its weights, and the offset is 1 if it has biases that are trained. Gradients
    themselves are a term without A.

    Attributes:
        activations: A, (1 or members, inputs, n); None for scale = 0.
        signals: D, (members, outputs, units, n); None for the identity over outputs, as in the last layer.
        scale: factor of Aᵀ A'.
        offset: added to each entry.
    """

    activations: Float[Tensor, "_ inputs n"] | None
    signals: Float[Tensor, "members outputs units n"] | None
    scale: float
    offset: float


Terms = Sequence[Term]
"""Terms of which a kernel is the sum."""
Kernel = Float[Tensor, "members outputs outputs n1 n2"]
"""Tangent kernel, with the axes of points last."""


def fill_kernel(
    kernel: Kernel,
    terms: Callable[[slice], Terms],
    other_terms: Callable[[slice], Terms] | None,
    block: int,
) -> Kernel:
    """Write a kernel block by block; each block needs the terms of its rows and columns only.

    Args:
        kernel: the tensor to fill.
        terms: function that returns the terms of a range of points.
        other_terms: the same for the columns; None if they are the points of the rows: then only one half is
            computed, and mirrored.
        block: number of points whose terms are held at once, on each side.
    """
    for rows in ranges(kernel.shape[3], block):
        left = terms(rows)
        for columns in ranges(kernel.shape[4], block):
            part = kernel[..., rows, columns]
            if other_terms is not None:
                _add_block(part, left, other_terms(columns), mirrored=False)
            elif columns == rows:
                _add_block(part, left, left, mirrored=True)
                break
            else:
                _add_block(part, left, terms(columns), mirrored=False)
                kernel[..., columns, rows] = part.transpose(1, 2).transpose(3, 4)
    return kernel


def _add_block(kernel: Kernel, left: Terms, right: Terms, *, mirrored: bool) -> None:
    """Write one block in tiles; for a symmetric block the lower triangle is computed and mirrored."""
    members, outputs, _, n1, n2 = kernel.shape
    side = TILE if kernel.device.type == "cpu" else 4096
    # Small kernels of many members are computed as a batch of matrices, large ones member by member.
    group = max(1, side**2 // (min(n1, side) * min(n2, side)))
    for chosen in ranges(members, group):
        for rows in ranges(n1, side):
            for columns in ranges(n2, side):
                if mirrored and columns.start > rows.start:
                    break
                for c in range(outputs):
                    for k in range(c + 1 if mirrored and columns == rows else outputs):
                        tile = _tile(left, right, chosen, (rows, columns), (c, k))
                        if mirrored and columns == rows and c == k and tile is not None:
                            tile = tile.tril() + tile.tril(-1).mT  # products are not exactly symmetric
                        kernel[chosen, c, k, rows, columns] = 0 if tile is None else tile
                        if mirrored and (c != k or columns != rows):
                            kernel[chosen, k, c, columns, rows] = 0 if tile is None else tile.mT


def _tile(
    left: Terms, right: Terms, members: slice, points: tuple[slice, slice], outputs: tuple[int, int]
) -> Float[Tensor, "members rows columns"] | None:
    """One tile of the sum over all terms, for some members and one pair of outputs; None if it vanishes."""
    rows, columns = points
    total: Tensor | None = None
    for one, other in zip(left, right, strict=True):
        gram = signal = None
        if one.signals is not None and other.signals is not None:
            d, e = one.signals[members, outputs[0]], other.signals[members, outputs[1]]
            signal = _gram(d[..., rows], e[..., columns])
        elif outputs[0] != outputs[1]:
            continue
        if one.activations is not None and other.activations is not None:
            a, b = (
                part if len(part) == 1 else part[members] for part in (one.activations, other.activations)
            )
            gram = _gram(a[..., rows], b[..., columns])
        total = _added(total, gram, signal, one)
    return total


def _gram(a: Float[Tensor, "m k n"], b: Float[Tensor, "m k other"]) -> Float[Tensor, "m n other"]:
    """Products of columns; a single matrix without the overhead of a batch."""
    return torch.mm(a[0].T, b[0])[None] if len(a) == len(b) == 1 else a.mT @ b


def _added(total: Tensor | None, gram: Tensor | None, signal: Tensor | None, term: Term) -> Tensor:
    """The sum plus (scale · gram + offset) ∘ signal, in place."""
    if gram is None or signal is None:
        rest = signal if gram is None else gram
        assert rest is not None
        part = rest.mul_(term.offset if gram is None else term.scale)
        if signal is None and term.offset:
            part = part.add_(term.offset)
        return part if total is None else total.add_(part)
    if total is None or len(total) < len(signal):  # the first, or only terms that all members share
        product = (gram * signal).mul_(term.scale)
        total = product if total is None else product.add_(total)
    else:
        total.addcmul_(gram, signal, value=term.scale)
    return total.add_(signal, alpha=term.offset) if term.offset else total
