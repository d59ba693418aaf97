"""FusedPlan: the loops of a tensor product and scatter, called on a graph."""

from torch import Tensor

from symnets.ops.adjacency import Adjacency
from symnets.ops.compiled_plan import CompiledPlan, Kind
from symnets.ops.edge_code import EdgeSum
from symnets.ops.machine import Call
from symnets.ops.node_code import NodeSum
from symnets.ops.paths import Plan
from symnets.ops.room import room
from symnets.ops.weight_code import Given
from symnets.threads import run


class FusedPlan:
    """A plan with its loops as machine code. Arguments are in the order sources, filters, weights.

    Args:
        plan: the product.
        weights: where they come from: rows of them; or distances, a table, and the inverse of its step.
    """

    def __init__(self, plan: Plan, weights: Kind = Given) -> None:
        self.plan, self.compiled = plan, CompiledPlan(plan, weights)
        self._row = plan.weight_numel if weights is Given else 1

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
        """dY, if wanted, and each dw, or dr.

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
        outputs += [room(len(start) - 1, self._row, g) for _ in loop.d_weights]
        function = self.compiled.function(loop, g.dtype)
        run(
            Call(function, *outputs, g, *arguments, edges.sender, edges.receiver, order, start),
            (start - start[0]) * self.plan.work,
        )
        return outputs
