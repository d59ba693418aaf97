"""TabulatedProductScatter: the tensor product and scatter with weights that are functions of the distance."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops.adjacency import Adjacency, adjacency
from symnets.ops.compiled_plan import CompiledPlan
from symnets.ops.machine import Call
from symnets.ops.node_code import NodeSum
from symnets.ops.paths import Plan
from symnets.ops.plain import PlainPlan, plain
from symnets.ops.product_code import ON_EDGES, TO_RECEIVERS, TO_SENDERS
from symnets.ops.radial_table import RadialTable
from symnets.ops.tensor_product_scatter import fusable
from symnets.ops.weight_code import Tabulated
from symnets.threads import run


class TabulatedProductScatter(nn.Module):
    """`TensorProductScatter` with weights w(r) of a `RadialTable`, interpolated where they are needed:
    rows of weights are not stored. Once differentiable in features, filters and distances.

    Args:
        plan: the product.
        table: one function for each weight.
        implementation: "fused" (compiled, CPU), "plain" (torch, any device), or "auto".
    """

    def __init__(
        self, plan: Plan, table: RadialTable, *, implementation: Literal["auto", "fused", "plain"] = "auto"
    ) -> None:
        super().__init__()
        if table.n_functions != plan.weight_numel:
            raise ValueError(f"table: expected {plan.weight_numel} functions, got {table.n_functions}")
        self.plan, self.table, self.implementation = plan, table, implementation
        self._plain, self._compiled = PlainPlan(plan), CompiledPlan(plan, Tabulated)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        distances: Float[Tensor, " rows"],
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
        pair: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "n_nodes dim_out"]:
        """Sums over the edges of each receiver; `pair` tells each edge's distance where edges share them."""
        if self.implementation == "fused" or (self.implementation == "auto" and fusable(features)):
            self.table.check(distances)
            edges = adjacency(edge_index, pair, (features.shape[0], n_nodes, len(distances)))
            loops = _Loops(self._compiled, self.table, edges)
            return _Product.apply(features, filters, distances, loops)  # pyright: ignore
        rows = self.table(distances)
        rows = rows if pair is None else rows.index_select(0, pair)
        return plain(self._plain, features, filters, rows, edge_index, n_nodes)


class _Loops:
    """The partials on one graph."""

    def __init__(self, compiled: CompiledPlan, table: RadialTable, edges: Adjacency) -> None:
        self.compiled, self.table, self.edges, self.plan = compiled, table, edges, compiled.plan
        self.per_step = table.table.new_tensor([1 / table.step])

    def at_nodes(self, loop: NodeSum, other: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """The product, or dL/dx."""
        edges, receivers = self.edges, loop.receivers
        end, by_node = (edges.sender, edges.by_receiver) if receivers else (edges.receiver, edges.by_sender)
        n, columns = len(by_node[1]) - 1, (self.plan.irreps_out if receivers else self.plan.irreps_in).dim
        total = other.new_zeros(n, columns)
        function = self.compiled.function(loop, other.dtype)
        run(
            Call(function, total, other, y, r, self.table.table, self.per_step, end, edges.pair, *by_node),
            by_node[1] * self.plan.work,
        )
        return total

    def on_edges(self, g: Tensor, x: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """dL/dY and dL/dr."""
        dy, dr = y.new_empty(y.shape), r.new_empty(r.shape)
        function, edges = self.compiled.function(ON_EDGES, g.dtype), self.edges
        tables, ends = (self.table.table, self.per_step), (edges.sender, edges.receiver)
        run(
            Call(function, dy, dr, g, x, y, r, *tables, *ends, *edges.by_pair),
            edges.by_pair[1] * self.plan.work,
        )
        return dy, dr


class _Product(torch.autograd.Function):
    """The product; its backward cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, r: Tensor, loops: _Loops) -> Tensor:
        ctx.save_for_backward(x, y, r)
        ctx.loops = loops
        return loops.at_nodes(TO_RECEIVERS, x, y, r)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, y, r = ctx.saved_tensors
        needs_x, needs_y, needs_r, _ = ctx.needs_input_grad
        dx = ctx.loops.at_nodes(TO_SENDERS, g, y, r) if needs_x else None
        dy, dr = ctx.loops.on_edges(g, x, y, r) if needs_y or needs_r else (None, None)
        return dx, dy if needs_y else None, dr if needs_r else None, None
