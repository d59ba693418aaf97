"""The fused tensor product and scatter as a torch operation, differentiable to any order."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from symnets.ops import kernels
from symnets.ops.paths import Entries, Plan


class Adjacency:
    """Edges of each node, as receiver and as sender, in compressed form."""

    def __init__(self, edge_index: Int[Tensor, "2 edges"], n_senders: int, n_receivers: int) -> None:
        # A copy: the kernels read it in backward too, when the caller may have overwritten his.
        self.sender, self.receiver = edge_index.detach().numpy().copy()
        self.n_senders, self.n_receivers = n_senders, n_receivers
        for ends, n in ((self.sender, n_senders), (self.receiver, n_receivers)):
            if ends.size and not 0 <= ends.min() <= ends.max() < n:
                raise ValueError(f"edge_index: expected nodes 0 to {n - 1}, got {ends.min()} to {ends.max()}")

    @cached_property
    def by_receiver(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their receiver, and where each receiver's edges start."""
        return _compress(self.receiver, self.n_receivers)

    @cached_property
    def by_sender(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their sender, and where each sender's edges start."""
        return _compress(self.sender, self.n_senders)


def _compress(ends: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=n), out=start[1:])
    in_order = bool((ends[1:] >= ends[:-1]).all())
    return np.arange(len(ends)) if in_order else np.argsort(ends, kind="stable"), start


class FusedPlan:
    """A plan with its table in the dtypes the kernels ask for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.multiplications = int(plan.entries.channels.sum())
        self._entries: dict[torch.dtype, Entries] = {}

    def entries(self, dtype: torch.dtype) -> Entries:
        """The table, with values in a dtype."""
        if dtype not in self._entries:
            table = self.plan.entries
            values = table.values.astype(torch.empty(0, dtype=dtype).numpy().dtype)
            self._entries[dtype] = table._replace(values=values)
        return self._entries[dtype]

    def sum_at_receivers(self, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
        """dL/dg, the product itself."""
        t = self.entries(x.dtype)
        total = x.new_zeros(edges.n_receivers, self.plan.irreps_out.dim)
        self._sum(total, x, y, w, edges.sender, edges.by_receiver, t.out, t.inp)
        return total

    def sum_at_senders(self, g: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> Tensor:
        """dL/dx."""
        t = self.entries(g.dtype)
        total = g.new_zeros(edges.n_senders, self.plan.irreps_in.dim)
        self._sum(total, g, y, w, edges.receiver, edges.by_sender, t.inp, t.out)
        return total

    def _sum(
        self,
        total: Tensor,
        other: Tensor,
        y: Tensor,
        w: Tensor,
        end: np.ndarray,
        by_node: tuple[np.ndarray, np.ndarray],
        to: np.ndarray,
        source: np.ndarray,
    ) -> None:
        """Add to each node's row what comes along its edges from `other` rows, those of the edges' `end`."""
        t, (order, start) = self.entries(other.dtype), by_node
        before = (total.numpy(), _array(other), _array(y), _array(w), end, order, start)
        after = (to, source, t.filter, t.weight, t.channels, t.values)
        kernels.run(kernels.node_partial, before, after, start * self.multiplications)

    def on_edges(self, g: Tensor, x: Tensor, y: Tensor, w: Tensor, edges: Adjacency) -> tuple[Tensor, Tensor]:
        """dL/dY and dL/dw."""
        t = self.entries(g.dtype)
        dy, dw = torch.zeros_like(y, memory_format=torch.contiguous_format), w.new_zeros(w.shape)
        arrays = (dy.numpy(), dw.numpy(), _array(g), _array(x), _array(y), _array(w))
        before = (*arrays, edges.sender, edges.receiver)
        after = (t.inp, t.filter, t.out, t.weight, t.channels, t.values)
        work = np.arange(len(edges.sender) + 1) * self.multiplications
        kernels.run(kernels.edge_partials, before, after, work)
        return dy, dw


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


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
    return Product.apply(x, y, w, plan, Adjacency(edge_index, x.shape[0], n_nodes))  # pyright: ignore
