"""The fused tensor product with factorised weights w = h W: W is the last layer of the radial network."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.ops._adjacency import Adjacency
from symnets.ops._fused import Partials, SecondPartials, needed_grads
from symnets.ops._fused_plan import (
    ON_EDGES,
    TO_RECEIVERS,
    TO_SENDERS,
    WEIGHTS_ON_EDGES,
    FusedPlan,
    empty_hugepages,
)
from symnets.ops._implementation import without_autocast

CHUNK_WEIGHTS = 2**20
"""Number of weights of a chunk of pairs, small enough for the processor's cache."""
MAX_KEPT_WEIGHTS = 2**27
"""Above this number (512 MB in float32) weights are recomputed in the backward pass instead of kept."""


class LinearWeights(NamedTuple):
    """Factors h and W of the weights w = h W of edges, or of pairs of edges."""

    hidden: Float[Tensor, "pairs n_hidden"]
    matrix: Float[Tensor, "n_hidden weight_numel"]

    def rows(self) -> Float[Tensor, "pairs weight_numel"]:
        """The weights w, one row for each pair."""
        return self.hidden @ self.matrix


class LinearProduct(torch.autograd.Function):
    """Autograd function of the tensor product and scatter with weights h W, out = dL/dg (x, Y, h W)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, h: Tensor, matrix: Tensor, plan: FusedPlan, edges: Adjacency
    ) -> Tensor:
        ctx.save_for_backward(x, y, h, matrix)
        ctx.plan, ctx.edges = plan, edges
        ctx.w = None
        if len(h) * matrix.shape[1] > MAX_KEPT_WEIGHTS:
            return _at_nodes_in_chunks(plan, edges, True, x, y, h, matrix)
        w = torch.mm(h, matrix, out=empty_hugepages(len(h), matrix.shape[1], h))
        if any(ctx.needs_input_grad):
            ctx.w = w
        return plan.at_nodes(TO_RECEIVERS, edges, x, y, w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        arguments = g, *ctx.saved_tensors, ctx.w, ctx.plan, ctx.edges, needed_grads(ctx)
        return (*LinearPartials.apply(*arguments), None, None)  # pyright: ignore


class LinearPartials(torch.autograd.Function):
    """Autograd function of the partials dL/dx, dL/dY, dL/dh, dL/dW at (g, x, Y, h W); None if not needed.

        dL/dh = dL/dw Wᵀ,     dL/dW = hᵀ dL/dw.

    dL/dw is computed in chunks of pairs. Each chunk is used for dL/dh and dL/dW, and not stored.
    """

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        h: Tensor,
        matrix: Tensor,
        w: Tensor | None,
        plan: FusedPlan,
        edges: Adjacency,
        needs: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, y, h, matrix)
        ctx.plan, ctx.edges, ctx.w, ctx.needs = plan, edges, w, needs
        dx, dy = None, None
        if needs[0] and w is None:
            dx = _at_nodes_in_chunks(plan, edges, False, g, y, h, matrix)
        elif needs[0]:
            dx = plan.at_nodes(TO_SENDERS, edges, g, y, w)  # pyright: ignore[reportArgumentType]
        if not any(needs[1:]):
            return dx, None, None, None
        if needs[1]:
            dy = y.new_empty(y.shape)  # contiguous even where y is not
        dh = torch.empty_like(h) if needs[2] else None
        d_matrix = torch.zeros_like(matrix) if needs[3] else None
        loop = ON_EDGES if needs[1] else WEIGHTS_ON_EDGES
        g, x, y = g.contiguous(), x.contiguous(), y.contiguous()  # once for all chunks
        for pair in _chunks(len(h), matrix.shape[1]):
            w_part = _weight_rows(h[pair], matrix) if w is None else w[pair]
            dw = plan.on_edges(loop, edges, g, x, y, w_part, pairs=pair, d_filters=dy)[-1]
            if dh is not None:
                torch.mm(dw, matrix.T, out=dh[pair])
            if d_matrix is not None:
                d_matrix.addmm_(h[pair].T, dw)
        return dx, dy, dh, d_matrix

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore
        a, b, u, v = cotangents  # of dL/dx, dL/dY, dL/dh, dL/dW
        needs = needed_grads(ctx)[:5]
        if (create_graph := torch.is_grad_enabled()) or v is not None or u is None:
            gradients = _differentiable(ctx, cotangents, needs, create_graph=create_graph)
        else:
            gradients = _second_order(ctx, a, b, u, needs)
        return (*gradients, None, None, None, None)


def _second_order(
    ctx: Any, a: Tensor | None, b: Tensor | None, u: Tensor, needs: tuple[bool, ...]
) -> list[Any]:
    """Gradient of the partials in g, x, Y, h and W, for cotangents a, b, u of dL/dx, dL/dY, dL/dh, by loops.

    c = u W is the cotangent of dL/dw. With dw for the gradient in w, those in h and W are

        dh = dw Wᵀ,     dW = hᵀ dw + uᵀ dL/dw.
    """
    plan, edges, (g, x, y, h, matrix) = ctx.plan, ctx.edges, ctx.saved_tensors
    shape = len(h), matrix.shape[1]
    w = torch.mm(h, matrix, out=empty_hugepages(*shape, h)) if ctx.w is None else ctx.w
    c = torch.mm(u, matrix, out=empty_hugepages(*shape, h))
    product_needs = (*needs[:3], needs[3] or needs[4])
    dg, dx = SecondPartials(plan, edges, (g, x, y, w), (a, b, c), product_needs).at_nodes()
    if not any(needs[2:]):
        return [dg, dx, None, None, None]
    dy = y.new_zeros(y.shape) if needs[2] else None
    dh = torch.zeros_like(h) if needs[3] else None
    d_matrix = torch.zeros_like(matrix) if needs[4] else None
    for pair in _chunks(*shape):
        second = SecondPartials(plan, edges, (g, x, y, w[pair]), (a, b, c[pair]), product_needs)
        _, dw, dw_first = second.on_edges(first=needs[4], pairs=pair, d_filters=dy)
        if dh is not None and dw is not None:
            torch.mm(dw, matrix.T, out=dh[pair])
        if d_matrix is not None:
            if dw is not None:
                d_matrix.addmm_(h[pair].T, dw)
            d_matrix.addmm_(u[pair].T, dw_first)  # pyright: ignore[reportArgumentType]
    return [dg, dx, dy, dh, d_matrix]


def _differentiable(
    ctx: Any, cotangents: tuple[Tensor | None, ...], needs: tuple[bool, ...], *, create_graph: bool
) -> list[Any]:
    """Gradient of the partials for any cotangents, from operations that can be differentiated again."""
    with torch.enable_grad(), without_autocast():
        # Gradients with respect to views are partial derivatives, even if arguments depend on each other.
        g, x, y, h, matrix = arguments = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        partial_needs = ctx.needs[0], ctx.needs[1], ctx.needs[2] or ctx.needs[3]
        dx, dy, dw = Partials.apply(g, x, y, h @ matrix, ctx.plan, ctx.edges, partial_needs)  # pyright: ignore
        outputs = [dx, dy, dw @ matrix.T if ctx.needs[2] else None, h.T @ dw if ctx.needs[3] else None]
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o is not None and c is not None]
        inputs = [argument for argument, need in zip(arguments, needs, strict=True) if need]
        gradients = iter(
            torch.autograd.grad(
                [o for o, _ in pairs],
                inputs,
                [c for _, c in pairs],
                create_graph=create_graph,
                allow_unused=True,
            )
        )
        return [next(gradients) if need else None for need in needs]


def _weight_rows(h: Tensor, matrix: Tensor) -> Tensor:
    """The weights h W in the dtype of h."""
    with without_autocast():
        return h @ matrix


def _chunks(n_pairs: int, weight_numel: int) -> Iterator[slice]:
    """Ranges of pairs with about `CHUNK_WEIGHTS` weights each, and at least 64 pairs."""
    size = max(CHUNK_WEIGHTS // weight_numel, 64)
    return (slice(low, min(low + size, n_pairs)) for low in range(0, n_pairs, size))


def _at_nodes_in_chunks(
    plan: FusedPlan, edges: Adjacency, receivers: bool, source: Tensor, y: Tensor, h: Tensor, matrix: Tensor
) -> Tensor:
    """The product if `receivers`, else dL/dx, in chunks of nodes whose weights are computed and not kept."""
    loop = TO_RECEIVERS if receivers else TO_SENDERS
    parts = []
    for chunk, edge in edges.node_chunks(receivers, max(CHUNK_WEIGHTS // matrix.shape[1], 64)):
        parts.append(plan.at_nodes(loop, chunk, source, y[edge], _weight_rows(h[edges.pair[edge]], matrix)))
    return torch.cat(parts)


def fused_linear(plan: FusedPlan, x: Tensor, y: Tensor, weights: LinearWeights, edges: Adjacency) -> Tensor:
    """Tensor product and scatter with weights h W, for CPU tensors, all float32 or all float64."""
    return LinearProduct.apply(x, y, *weights, plan, edges)  # pyright: ignore[reportReturnType]
