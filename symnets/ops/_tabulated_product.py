"""Splines of functions of the distance, and the tensor product and scatter with weights from such a table."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops._adjacency import Adjacency, adjacency
from symnets.ops._fused import needed_grads
from symnets.ops._fused_plan import ON_EDGES, TO_RECEIVERS, TO_SENDERS, FusedPlan
from symnets.ops._implementation import Implementation, check_edges, check_option, check_tensors, use_fused
from symnets.ops._paths import Plan
from symnets.ops._plain import PlainPlan, plain
from symnets.ops._weight_code import WeightSplines

RadialFunctions = Callable[[Float[Tensor, " points"]], Float[Tensor, "points functions"]]
"""Functions of the distance, r -> w(r)."""


class RadialTable(nn.Module):
    """Cubic Hermite splines of functions w(r) of a distance, with knots at n h, h = r_c / N, from 0 to r_c:

        w(r) = (1 + 2u)(1-u)² w_n + u(1-u)² h w'_n + u²(3-2u) w_(n+1) - u²(1-u) h w'_(n+1),    u = r/h - n.

    The error is at most h⁴ max|∂⁴w| / 384, that of the derivative is of order h³. Derivatives computed by
    autograd are exactly those of the spline.

    Args:
        functions: r -> w(r), (points,) -> (points, functions), smooth, and zero with its derivative at r_c;
            or several w, one for each kind of edge, with equal numbers of functions.
        cutoff: r_c in Å.
        n_knots: N, the number of intervals.
        dtype: dtype of the table, by default torch's default; the table is computed in float64.
    """

    table: Tensor

    def __init__(
        self,
        functions: RadialFunctions | Sequence[RadialFunctions],
        cutoff: float,
        n_knots: int,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if n_knots < 1:
            raise ValueError(f"n_knots: expected at least 1, got {n_knots}")
        self.cutoff, self.n_knots = float(cutoff), n_knots
        r = torch.arange(n_knots + 1, dtype=torch.float64) * self.step
        r[0] = 1e-6 * self.step  # w may divide by r
        kinds = [functions] if callable(functions) else list(functions)
        self.n_kinds, tables = len(kinds), []
        for w in kinds:
            with torch.no_grad():
                values, slopes = torch.func.jvp(w, (r,), (torch.ones_like(r),))  # pyright: ignore
            table = torch.cat([values, self.step * slopes], dim=1)
            # One more knot, because rounding may give distances slightly beyond the cutoff.
            table = torch.cat([table, torch.zeros_like(table[:1])])
            tables.append(table.to(dtype or torch.get_default_dtype()))
        self.register_buffer("table", torch.cat(tables))

    @property
    def step(self) -> float:
        """h in Å."""
        return self.cutoff / self.n_knots

    @property
    def n_functions(self) -> int:
        """Number of functions."""
        return self.table.shape[1] // 2

    def first_rows(
        self, r: Float[Tensor, " points"], kind: Int[Tensor, " points"] | None = None
    ) -> Int[Tensor, " points"]:
        """Row of the table with the knot r = 0 for each distance, after a check of distances and kinds.

        Raises:
            ValueError: a distance that is NaN, negative, or beyond the cutoff by more than the rounding of
                large coordinates in float32; or a kind out of range.
        """
        margin, r = min(1e-4 * self.cutoff, self.step / 2), r.detach()
        if len(r) and not bool(((r >= 0) & (r < self.cutoff + margin)).all()):
            raise ValueError(
                f"distances: expected 0 to {self.cutoff} Å, got {float(r.min()):.6g} to "
                f"{float(r.max()):.6g}; check that positions are finite and edges within the model's cutoff"
            )
        if kind is None:
            return torch.zeros(len(r), dtype=torch.long, device=r.device)
        if kind.shape != r.shape or (len(kind) and not 0 <= kind.min() <= kind.max() < self.n_kinds):
            raise ValueError(f"kind: expected {len(r)} numbers from 0 to {self.n_kinds - 1}, got {kind}")
        return kind * (self.n_knots + 2)

    def forward(
        self, r: Float[Tensor, " points"], kind: Int[Tensor, " points"] | None = None
    ) -> Float[Tensor, "points functions"]:
        """w(r), in plain torch: differentiable, on any device.

        Args:
            r: distances in Å.
            kind: index of w for each distance, if there are several; None for the first.
        """
        first_row = self.first_rows(r, kind)
        scaled = r / self.step
        knot = scaled.detach().floor().long()
        u = (scaled - knot)[:, None]
        knot = first_row + knot
        w0, s0 = self.table[knot].chunk(2, dim=1)
        w1, s1 = self.table[knot + 1].chunk(2, dim=1)
        v = 1 - u
        return v * v * (1 + 2 * u) * w0 + u * v * v * s0 + u * u * (3 - 2 * u) * w1 - u * u * v * s1


class SplineWeights(NamedTuple):
    """Weights w(r) of each edge, or of each pair of edges, from a table, for inference."""

    table: RadialTable
    """One function for each weight."""
    distances: Float[Tensor, " rows"]
    """r in Å."""
    kind: Int[Tensor, " rows"] | None = None
    """Index of the table's set of functions for each distance; None for the first."""

    def rows(self) -> Float[Tensor, "rows weights"]:
        """The weights w(r), one row for each distance."""
        return self.table(self.distances, self.kind)


class TabulatedProductScatter(nn.Module):
    """`TensorProductScatter` with weights w(r) interpolated from a `RadialTable`, for inference.

    The compiled loops interpolate within the product and store no weights. They are differentiable once in
    features, filters and distances.

    Args:
        plan: the tensor product.
        table: one function for each weight of the plan.
        implementation: "fused" (compiled CPU loops), "plain" (torch, any device), or "auto": "fused" on
            the CPU in float32 and float64, else "plain".

    Raises:
        ValueError: the table has another number of functions than the plan has weights.
    """

    def __init__(self, plan: Plan, table: RadialTable, *, implementation: Implementation = "auto") -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        if table.n_functions != plan.weight_numel:
            raise ValueError(f"table: expected {plan.weight_numel} functions, got {table.n_functions}")
        self.plan, self.table, self.implementation = plan, table, implementation
        self._plain, self._fused = PlainPlan(plan), FusedPlan(plan, WeightSplines)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        distances: Float[Tensor, " rows"],
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
        pair: Int[Tensor, " edges"] | None = None,
        kind: Int[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "n_nodes dim_out"]:
        """Sums over the edges of each receiver.

        Args:
            features: x, a row for each node that may send.
            filters: Y.
            distances: r of each edge, or of each pair, in Å.
            edge_index: senders, then receivers: rows of `features` and of the result.
            n_nodes: rows of the result.
            pair: index into `distances` of each edge; None if each edge has its own.
            kind: index of the table's set of functions for each distance; None for the first.

        Raises:
            ValueError: wrong shapes, dtypes or devices; nodes, distances or kinds out of range.
        """
        check_edges(edge_index, pair)
        n_edges, n_nodes_in = edge_index.shape[1], len(features)
        expected = {
            "features": (features, (n_nodes_in, self.plan.irreps_in.dim)),
            "filters": (filters, (n_edges, self.plan.irreps_filter.dim)),
            "distances": (distances, (n_edges if pair is None else len(distances),)),
            "table": (self.table.table, self.table.table.shape),
        }
        check_tensors(features, expected)
        if use_fused(self.implementation, features):
            first_row = self.table.first_rows(distances, kind)
            edges = adjacency(edge_index, pair, (features.shape[0], n_nodes, len(distances)))
            return _Product.apply(  # pyright: ignore[reportReturnType]
                features, filters, distances, first_row, self.table, self._fused, edges
            )
        rows = self.table(distances, kind)
        rows = rows if pair is None else rows.index_select(0, pair)
        return plain(self._plain, features, filters, rows, edge_index, n_nodes)


class _Product(torch.autograd.Function):
    """Autograd function of the product with interpolated weights, differentiable once."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        r: Tensor,
        first_row: Tensor,
        table: RadialTable,
        fused: FusedPlan,
        edges: Adjacency,
    ) -> Tensor:
        ctx.save_for_backward(x, y, r)
        ctx.tables = table.table, table.table.new_tensor([1 / table.step]), first_row.numpy()
        ctx.fused, ctx.edges = fused, edges
        return fused.at_nodes(TO_RECEIVERS, edges, x, y, r, *ctx.tables)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        x, y, r = ctx.saved_tensors
        needs_x, needs_y, needs_r, *_ = needed_grads(ctx)
        fused, edges = ctx.fused, ctx.edges
        dx = fused.at_nodes(TO_SENDERS, edges, g, y, r, *ctx.tables) if needs_x else None
        dy = dr = None
        if needs_y or needs_r:
            dy, dr = fused.on_edges(ON_EDGES, edges, g, x, y, r, *ctx.tables)
            dr = dr.view_as(r)
        return dx, dy if needs_y else None, dr if needs_r else None, None, None, None, None
