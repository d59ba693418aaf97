"""TabulatedProductScatter: the tensor product and scatter with weights that are functions of the distance."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops.adjacency import Adjacency, adjacency
from symnets.ops.choice import Implementation, check_edges, check_tables, one_of, takes_fused
from symnets.ops.fused_plan import FusedPlan
from symnets.ops.paths import Plan
from symnets.ops.plain import PlainPlan, plain
from symnets.ops.product_code import ON_EDGES, TO_RECEIVERS, TO_SENDERS
from symnets.ops.radial_table import RadialTable
from symnets.ops.weight_code import Tabulated


class TabulatedProductScatter(nn.Module):
    """`TensorProductScatter` with weights w(r) of a `RadialTable`, interpolated where they are needed:
    rows of weights are not stored. Once differentiable in features, filters and distances.

    Args:
        plan: the product.
        table: one function for each weight.
        implementation: "fused" (compiled, CPU), "plain" (torch, any device), or "auto".
    """

    def __init__(self, plan: Plan, table: RadialTable, *, implementation: Implementation = "auto") -> None:
        super().__init__()
        one_of("implementation", implementation, Implementation)
        if table.n_functions != plan.weight_numel:
            raise ValueError(f"table: expected {plan.weight_numel} functions, got {table.n_functions}")
        self.plan, self.table, self.implementation = plan, table, implementation
        self._plain, self._fused = PlainPlan(plan), FusedPlan(plan, Tabulated)

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
        check_edges(edge_index, pair)
        n_edges, n_nodes_in = edge_index.shape[1], len(features)
        expected = {
            "features": (features, (n_nodes_in, self.plan.irreps_in.dim)),
            "filters": (filters, (n_edges, self.plan.irreps_filter.dim)),
            "distances": (distances, (n_edges if pair is None else len(distances),)),
            "table": (self.table.table, self.table.table.shape),
        }
        check_tables(features, expected)
        if takes_fused(self.implementation, features):
            self.table.check(distances)
            edges = adjacency(edge_index, pair, (features.shape[0], n_nodes, len(distances)))
            return _Product.apply(features, filters, distances, self.table, self._fused, edges)  # pyright: ignore
        rows = self.table(distances)
        rows = rows if pair is None else rows.index_select(0, pair)
        return plain(self._plain, features, filters, rows, edge_index, n_nodes)


class _Product(torch.autograd.Function):
    """The product; its backward cannot be differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, r: Tensor, table: RadialTable, fused: FusedPlan, edges: Adjacency
    ) -> Tensor:
        ctx.save_for_backward(x, y, r)
        ctx.tables = table.table, table.table.new_tensor([1 / table.step])
        ctx.fused, ctx.edges = fused, edges
        return fused.at_nodes(TO_RECEIVERS, edges, x, y, r, *ctx.tables)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, y, r = ctx.saved_tensors
        needs_x, needs_y, needs_r, *_ = ctx.needs_input_grad
        fused, edges = ctx.fused, ctx.edges
        dx = fused.at_nodes(TO_SENDERS, edges, g, y, r, *ctx.tables) if needs_x else None
        dy = dr = None
        if needs_y or needs_r:
            dy, dr = fused.on_edges(ON_EDGES, edges, g, x, y, r, *ctx.tables)
            dr = dr.view_as(r)
        return dx, dy if needs_y else None, dr if needs_r else None, None, None, None
