"""The fused tensor product and scatter as a torch operation, differentiable to any order."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symnets.ops.adjacency import Adjacency
from symnets.ops.compiled_plan import CompiledPlan
from symnets.ops.edge_code import EdgeSum
from symnets.ops.machine import Call
from symnets.ops.node_code import NodeSum
from symnets.ops.paths import Plan
from symnets.ops.product_code import ON_EDGES, TO_RECEIVERS, TO_SENDERS, WEIGHTS_ON_EDGES, Second
from symnets.ops.room import room
from symnets.ops.wanted import wanted
from symnets.ops.weight_code import Given
from symnets.threads import run


class FusedPlan:
    """A plan with its loops as machine code. Arguments are in the order sources, filters, weights."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.compiled = plan, CompiledPlan(plan, Given)

    def at_nodes(self, loop: NodeSum, edges: Adjacency, *arguments: Tensor) -> Tensor:
        """The sum over the edges of each node."""
        end, (order, start) = (
            (edges.sender, edges.by_receiver) if loop.receivers else (edges.receiver, edges.by_sender)
        )
        columns = (self.plan.irreps_out if loop.receivers else self.plan.irreps_in).dim
        total = arguments[0].new_zeros(len(start) - 1, columns)
        function = self.compiled.function(loop, total.dtype)
        run(Call(function, total, *arguments, end, edges.pair, order, start), start * self.plan.work)
        return total

    def on_edges(
        self,
        loop: EdgeSum,
        edges: Adjacency,
        g: Tensor,
        *arguments: Tensor,
        pairs: slice = slice(None),
        d_filters: Tensor | None = None,
    ) -> list[Tensor]:
        """dY, if wanted, and each dw.

        Args:
            loop: which.
            edges: of the graph.
            g: at the receivers.
            arguments: sources, filters and weights, the latter of some pairs only.
            pairs: these, if not all.
            d_filters: where dY is written.
        """
        order, start = edges.by_pair
        start = start[pairs.start : None if pairs.stop is None else pairs.stop + 1]
        if d_filters is None and loop.d_filters:
            d_filters = g.new_empty(len(edges.sender), self.plan.irreps_filter.dim)
        outputs = [] if d_filters is None else [d_filters]
        outputs += [room(len(start) - 1, self.plan.weight_numel, g) for _ in loop.d_weights]
        function = self.compiled.function(loop, g.dtype)
        run(
            Call(function, *outputs, g, *arguments, edges.sender, edges.receiver, order, start),
            (start - start[0]) * self.plan.work,
        )
        return outputs


class Product(torch.autograd.Function):
    """out = dL/dg (x, Y, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, plan: FusedPlan, edges: Adjacency) -> Tensor:
        ctx.save_for_backward(x, y, w)
        ctx.plan, ctx.edges = plan, edges
        return plan.at_nodes(TO_RECEIVERS, edges, x, y, w)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (*Partials.apply(g, *ctx.saved_tensors, ctx.plan, ctx.edges, wanted(ctx)), None, None)  # pyright: ignore


class Partials(torch.autograd.Function):
    """(dL/dx, dL/dY, dL/dw) (g, x, Y, w), those that are wanted."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        w: Tensor,
        plan: FusedPlan,
        edges: Adjacency,
        wants: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, y, w)
        ctx.plan, ctx.edges = plan, edges
        dx = plan.at_nodes(TO_SENDERS, edges, g, y, w) if wants[0] else None
        dy, dw = None, None
        if wants[1]:
            dy, dw = plan.on_edges(ON_EDGES, edges, g, x, y, w)
        elif wants[2]:
            (dw,) = plan.on_edges(WEIGHTS_ON_EDGES, edges, g, x, y, w)
        return dx, dy, dw if wants[2] else None

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore
        wants = wanted(ctx)
        step = _differentiable_second if torch.is_grad_enabled() else second_partials
        return (*step(ctx.plan, ctx.edges, ctx.saved_tensors, cotangents, wants), None, None, None)


def second_partials(
    plan: FusedPlan,
    edges: Adjacency,
    arguments: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    wants: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Gradient of the partials in g, x, Y and w, where wanted.

    Args:
        plan: with its loops.
        edges: of the graph.
        arguments: g, x, Y, w.
        cotangents: a, b, c of the partials in x, Y, w.
        wants: of the four.
    """
    at_nodes = second_at_nodes(plan, edges, arguments, cotangents, wants)
    dy, dw, _ = second_on_edges(plan, edges, arguments, cotangents, wants)
    return *at_nodes, dy, dw


def second_at_nodes(
    plan: FusedPlan,
    edges: Adjacency,
    arguments: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    wants: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None]:
    """Of `second_partials` those in g and x."""
    g, *others = arguments
    given = Second(*(cotangent is not None for cotangent in cotangents))
    sources, filters, weights = _beside(others, cotangents)
    dg = dx = None
    if wants[0] and any(given):
        dg = plan.at_nodes(given.to_receivers(), edges, *sources, *filters, *weights)
    if wants[1] and (given.b or given.c):
        dx = plan.at_nodes(given.to_senders(), edges, g, *filters, *weights)
    return dg, dx


def second_on_edges(
    plan: FusedPlan,
    edges: Adjacency,
    arguments: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    wants: tuple[bool, ...],
    *,
    first: bool = False,
    pairs: slice = slice(None),
    d_filters: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Of `second_partials` those in Y and w; then dL/dw itself, of g, x, Y, w, if asked for (`first`).

    The weights and their cotangent may be those of some `pairs` only; dY is then written to `d_filters`.
    """
    g, *others = arguments
    given = Second(*(cotangent is not None for cotangent in cotangents))
    filters_too, weights_too = wants[2] and (given.a or given.c), wants[3] and (given.a or given.b)
    if not (filters_too or weights_too or first):
        return None, None, None
    loop = given.on_edges(filters=filters_too, first=first)
    counted = zip(_beside(others, cotangents), loop.counts, strict=True)
    read = (tensor for tensors, n in counted for tensor in tensors[:n])
    into = d_filters if filters_too else None
    outputs = plan.on_edges(loop, edges, g, *read, pairs=pairs, d_filters=into)
    dy = outputs.pop(0) if filters_too else None
    dw = outputs.pop(0) if given.a or given.b else None
    return dy, dw if weights_too else None, outputs.pop() if first else None


def _beside(arguments: Sequence[Tensor], cotangents: tuple[Tensor | None, ...]) -> list[list[Tensor]]:
    """Sources, filters and weights."""
    pairs = zip(arguments, cotangents, strict=True)
    return [[argument] if other is None else [argument, other] for argument, other in pairs]


def _differentiable_second(
    plan: FusedPlan,
    edges: Adjacency,
    arguments: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    wants: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """The same from operations that can be differentiated again: L is linear in each argument, so that the
    gradient is that of L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c)."""
    g, *others = arguments
    gradients: list[Tensor | None] = [None] * 4
    for slot, cotangent in enumerate(cotangents):
        if cotangent is None:
            continue
        replaced = [cotangent if n == slot else a for n, a in enumerate(others)]
        if wants[0]:
            _add(gradients, 0, Product.apply(*replaced, plan, edges))
        still = tuple(want and n != slot for n, want in enumerate(wants[1:]))
        if any(still):
            partials: Any = Partials.apply(g, *replaced, plan, edges, still)
            for n, partial in enumerate(partials):
                _add(gradients, n + 1, partial)
    return tuple(gradients)


def _add(gradients: list[Tensor | None], slot: int, more: Any) -> None:
    if more is not None:
        held = gradients[slot]
        gradients[slot] = more if held is None else held + more


def fused(plan: FusedPlan, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
    """The product on CPU tensors of one dtype, float32 or float64."""
    return Product.apply(x, y, w, plan, edges)  # pyright: ignore[reportReturnType]
