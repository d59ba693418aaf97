"""Linear maps of blocks of channels with one matrix for each group of rows, such as each species."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.ops._adjacency import cache_last
from symnets.ops._fused import needed_grads


class Block(NamedTuple):
    """Position of a block (components, channels) in the rows of input and output of `grouped_linear`."""

    components: int
    """Number of components, 2l + 1."""
    first_in: int
    """First column of the block in the input."""
    first_out: int
    """First column of the block in the output."""


class Groups(NamedTuple):
    """Rows of a matrix sorted by group."""

    order: Tensor
    """Indices of the rows, sorted by group."""
    sizes: list[int]
    """Number of rows of each group."""


@cache_last
def group_rows(group: Int[Tensor, " n"], n_groups: int) -> Groups:
    """Sort rows by group; the last result is cached.

    Args:
        group: group of each row, from 0.
        n_groups: number of groups; some may be empty.
    """
    sizes = torch.bincount(group, minlength=n_groups).tolist()
    return Groups(group.argsort(stable=True), sizes)


def grouped_linear(
    x: Float[Tensor, "n dim_in"],
    weights: Sequence[Float[Tensor, "groups channels_in channels_out"]],
    blocks: Sequence[Block],
    dim_out: int,
    groups: Groups,
) -> Float[Tensor, "n dim_out"]:
    """Multiply the channels of each block by the matrix of the row's group.

        out[n, m, c] = Σ_c' x[n, m, c'] W[group(n), c', c]

    for row n, component m and channel c, by one matrix product for each group and block. It is differentiable
    to any order.

    Args:
        x: rows of features in the `ir_mul` layout.
        weights: W of each block.
        blocks: position of each block in the rows of x and of the result.
        dim_out: columns of the result; those that belong to no block are zero.
        groups: see `group_rows`.
    """
    return _Linear.apply(x, tuple(blocks), dim_out, groups, *weights)  # pyright: ignore[reportReturnType]


def _row_ranges(groups: Groups) -> Iterator[tuple[int, slice]]:
    """Each group that is not empty, with the range of its rows in sorted order."""
    start = 0
    for group, size in enumerate(groups.sizes):
        if size:
            yield group, slice(start, start + size)
        start += size


def _view(rows: Tensor, first: int, components: int, channels: int) -> Tensor:
    """View (components, rows, channels) of a block."""
    return rows[:, first : first + components * channels].unflatten(1, (components, channels)).transpose(0, 1)


class _Linear(torch.autograd.Function):
    """Autograd function of `grouped_linear`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, blocks: tuple[Block, ...], dim_out: int, groups: Groups, *weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, *weights)
        ctx.blocks, ctx.groups = blocks, groups
        ordered, out = x[groups.order], x.new_zeros(len(x), dim_out)
        written: set[int] = set()
        for (components, first_in, first_out), weight in zip(blocks, weights, strict=True):
            _, n_in, n_out = weight.shape
            source, target = (
                _view(ordered, first_in, components, n_in),
                _view(out, first_out, components, n_out),
            )
            for group, rows in _row_ranges(groups):
                product = source[:, rows] @ weight[group]
                # In a backward pass, blocks that read the same columns are written to the same columns.
                target[:, rows] = target[:, rows] + product if first_out in written else product
            written.add(first_out)
        return torch.empty_like(out).index_copy_(0, groups.order, out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, *weights = ctx.saved_tensors
        needs_x, *needs = needed_grads(ctx, [0, *range(4, 4 + len(weights))])
        dx, d_weights = None, (None,) * len(weights)
        if needs_x:
            swapped = tuple(Block(c, first_out, first_in) for c, first_in, first_out in ctx.blocks)
            transposed = [weight.mT for weight in weights]
            dx = _Linear.apply(g, swapped, x.shape[1], ctx.groups, *transposed)
        if any(needs):
            shapes = tuple(weight.shape for weight in weights)
            d_weights = _Outer.apply(x, g, ctx.blocks, ctx.groups, shapes)
        return (dx, None, None, None, *d_weights)  # pyright: ignore


class _Outer(torch.autograd.Function):
    """Autograd function of the gradient dW[group, c', c] = Σ_{n of the group, m} x[n, m, c'] g[n, m, c]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        g: Tensor,
        blocks: tuple[Block, ...],
        groups: Groups,
        shapes: tuple[torch.Size, ...],
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, g)
        ctx.blocks, ctx.groups = blocks, groups
        x, g, out = x[groups.order], g[groups.order], [x.new_zeros(shape) for shape in shapes]
        for (components, first_in, first_out), weight in zip(blocks, out, strict=True):
            left, right = (
                _view(x, first_in, components, weight.shape[1]),
                _view(g, first_out, components, weight.shape[2]),
            )
            for group, rows in _row_ranges(groups):
                torch.sum(left[:, rows].mT @ right[:, rows], 0, out=weight[group])
        return tuple(out)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:  # pyright: ignore
        x, g = ctx.saved_tensors
        (needs_x, needs_g), dx, dg = needed_grads(ctx), None, None
        if needs_x:
            swapped = tuple(Block(c, first_out, first_in) for c, first_in, first_out in ctx.blocks)
            dx = _Linear.apply(g, swapped, x.shape[1], ctx.groups, *(c.mT for c in cotangents))
        if needs_g:
            dg = _Linear.apply(x, ctx.blocks, g.shape[1], ctx.groups, *cotangents)
        return dx, dg, None, None, None
