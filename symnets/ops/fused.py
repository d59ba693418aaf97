"""The fused tensor product and scatter as a torch operation, differentiable to any order."""

from typing import Any

import torch
from torch import Tensor

from symnets.ops.adjacency import Adjacency
from symnets.ops.fused_plan import FusedPlan
from symnets.ops.product_code import ON_EDGES, TO_RECEIVERS, TO_SENDERS, WEIGHTS_ON_EDGES
from symnets.ops.second_partials import SecondPartials
from symnets.ops.wanted import wanted


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
        second = SecondPartials(ctx.plan, ctx.edges, ctx.saved_tensors, cotangents, wants)
        gradients = _differentiable(second) if torch.is_grad_enabled() else second.all()
        return *gradients, None, None, None


def _differentiable(second: SecondPartials) -> tuple[Tensor | None, ...]:
    """The same from operations that can be differentiated again: L is linear in each argument, so that the
    gradient is that of L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c)."""
    plan, edges, (g, *others), cotangents, wants = second
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
