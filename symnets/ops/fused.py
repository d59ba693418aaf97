"""The fused tensor product and scatter as a torch operation, differentiable to any order."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from symnets.ops.adjacency import Adjacency
from symnets.ops.compiled_plan import CompiledPlan
from symnets.ops.machine import Call
from symnets.ops.paths import Plan
from symnets.ops.weight_code import Given
from symnets.threads import run


class FusedPlan:
    """A plan with its partials as machine code."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.compiled = plan, CompiledPlan(plan, Given)

    def sum_at_receivers(self, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
        """dL/dg, the product itself."""
        total = x.new_zeros(edges.n_receivers, self.plan.irreps_out.dim)
        self._sum("to_receivers", total, x, y, w, edges.sender, edges.by_receiver)
        return total

    def sum_at_senders(self, g: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
        """dL/dx."""
        total = g.new_zeros(edges.n_senders, self.plan.irreps_in.dim)
        self._sum("to_senders", total, g, y, w, edges.receiver, edges.by_sender)
        return total

    def _sum(
        self,
        name: str,
        total: Tensor,
        other: Tensor,
        y: Tensor,
        w: Tensor,
        end: np.ndarray,
        by_node: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Add to each node's row what comes along its edges from `other` rows, those of the edges' `end`."""
        order, start = by_node
        call = Call(self.compiled.function(name, other.dtype), total, other, y, w, end, order, start)
        run(call, start * self.plan.work)

    def on_edges(self, g: Tensor, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> tuple[Tensor, Tensor]:
        """dL/dY and dL/dw."""
        dy, dw = y.new_empty(y.shape), w.new_empty(w.shape)
        call = Call(
            self.compiled.function("on_edges", g.dtype), dy, dw, g, x, y, w, edges.sender, edges.receiver
        )
        run(call, np.arange(len(edges.sender) + 1) * self.plan.work)
        return dy, dw


class Product(torch.autograd.Function):
    """out = dL/dg (x, Y, w)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor, plan: FusedPlan, edges: Adjacency) -> Tensor:
        ctx.save_for_backward(x, y, w)
        ctx.plan, ctx.edges = plan, edges
        return plan.sum_at_receivers(x, y, w, edges)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, y, w = ctx.saved_tensors
        needs = tuple(ctx.needs_input_grad[:3])
        return (*Partials.apply(g, x, y, w, ctx.plan, ctx.edges, needs), None, None)  # pyright: ignore


class Partials(torch.autograd.Function):
    """(dL/dx, dL/dY, dL/dw) (g, x, Y, w), those that are needed.

    L is linear in each argument, so with cotangents (a, b, c) of the three outputs the gradient is
    that of L(g, a, Y, w) + L(g, x, b, w) + L(g, x, Y, c): the same operations once more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        x: Tensor,
        y: Tensor,
        w: Tensor,
        plan: FusedPlan,
        edges: Adjacency,
        needs: tuple[bool, bool, bool],
    ) -> tuple[Tensor | None, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, y, w)
        ctx.plan, ctx.edges = plan, edges
        dx = plan.sum_at_senders(g, y, w, edges) if needs[0] else None
        dy, dw = plan.on_edges(g, x, y, w, edges) if needs[1] or needs[2] else (None, None)
        return dx, dy if needs[1] else None, dw if needs[2] else None

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # pyright: ignore
        g, *arguments = ctx.saved_tensors
        needs_g, *needs = ctx.needs_input_grad[:4]
        gradients: list[Tensor | None] = [None] * 4
        for slot, cotangent in enumerate(cotangents):
            if cotangent is None:
                continue
            replaced = [cotangent if n == slot else a for n, a in enumerate(arguments)]
            if needs_g:
                _add(gradients, 0, Product.apply(*replaced, ctx.plan, ctx.edges))
            wanted = tuple(need and n != slot for n, need in enumerate(needs))
            if any(wanted):
                partials = Partials.apply(g, *replaced, ctx.plan, ctx.edges, wanted)
                for n, partial in enumerate(partials):  # pyright: ignore
                    _add(gradients, n + 1, partial)
        return (*gradients, None, None, None)


def _add(gradients: list[Tensor | None], slot: int, more: Any) -> None:
    if more is not None:
        held = gradients[slot]
        gradients[slot] = more if held is None else held + more


def fused(
    plan: FusedPlan, x: Tensor, y: Tensor, w: Tensor, edge_index: Int[Tensor, "2 edges"], n_nodes: int
) -> Tensor:
    """The product on CPU tensors of one dtype, float32 or float64."""
    return Product.apply(x, y, w, plan, Adjacency.of(edge_index, x.shape[0], n_nodes))  # pyright: ignore
