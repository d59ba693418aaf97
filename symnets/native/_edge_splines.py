"""Splines of the lengths of edges: a table of functions of the distance, evaluated at each edge."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from symnets.native._operation import CannotLower, Constant, Matrix
from symnets.ops import I64, RadialTable, Value, VectorCode, WeightSplines

if TYPE_CHECKING:
    from symnets.native._program import Program


class EdgeSplines:
    """Cubic splines w(r) of the length r of each edge, see `RadialTable`.

    Args:
        program: program of the edges; no edge is longer than its cutoff.
        table: one set of functions, or one for each kind of edge.
        kind: index of the set of each edge; None if the edges have no kinds.

    Attributes:
        arguments: what an operation reads to evaluate the splines, besides the lengths.

    Raises:
        CannotLower: the table ends before the cutoff, or it has several sets and the edges have no kinds.
    """

    def __init__(self, program: "Program", table: RadialTable, kind: Matrix | None) -> None:
        if table.cutoff < program.cutoff:
            raise CannotLower(
                f"splines: expected a table up to the cutoff {program.cutoff} Å, got {table.cutoff} Å"
            )
        if kind is None and table.n_kinds > 1:
            raise CannotLower(
                "splines for each pair of elements: expected edges with kinds, got edges without"
            )
        self.inverse_step, self.rows_of_kind = 1 / table.step, table.n_knots + 2
        values = Constant(table.table.detach().cpu().double().numpy())
        self.arguments = (values,) if kind is None or table.n_kinds == 1 else (values, kind)

    @property
    def key(self) -> Hashable:
        """Value that is equal for splines with the same machine code."""
        return self.inverse_step, self.rows_of_kind, len(self.arguments)

    def at_edge(
        self,
        code: VectorCode,
        weights: WeightSplines,
        lengths: Value,
        arguments: Iterable[Value],
        edge: Value,
    ) -> list[Value]:
        """Row of the knot below an edge's length, and the coefficients of the spline."""
        table, *kind = arguments
        first_row = code.build.mul(code.load_int(kind[0], edge), I64(self.rows_of_kind)) if kind else I64(0)
        length = code.load(code.offset(lengths, edge))
        return weights.at_length(code, length, code.constant(self.inverse_step), table, first_row)
