"""Sum over neighbours of a spline of the distance, such as the density of `TabulatedDensity`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from symnets.native._edge_splines import EdgeSplines
from symnets.native._operation import Matrix
from symnets.native._row_operation import RowOperation, RowReverse, allocate_once, edge_loop, store_or_add
from symnets.ops import RadialTable, Value, VectorCode, WeightSplines

if TYPE_CHECKING:
    from symnets.native._program import Program


class SumOfSplines(RowOperation):
    """Sum over neighbours, ρ_i = Σ_{e into i} w(r_e), of a cubic spline w, see `RadialTable`.

    Args:
        program: the program.
        table: the spline w: one function, or one for each kind of edge.
        length: r of each edge in Å.
        kind: index of the function for each edge; None if the edges have no kinds.

    Attributes:
        out: ρ, (atoms, 1).

    Raises:
        CannotLower: the table ends before the cutoff, or it depends on kinds and the edges have none.
    """

    def __init__(self, program: "Program", table: RadialTable, length: Matrix, kind: Matrix | None) -> None:
        assert table.n_functions == 1, table.n_functions
        self.length, self.splines = length, EdgeSplines(program, table, kind)
        out = program.matrix("density", "atoms", 1)
        reads = (length, program.start, *self.splines.arguments)
        super().__init__((out,), reads, over="receivers", settings=self.splines.key)

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, lengths, start, *tables = pointers
        total = allocate_once(code, 1)
        code.store(code.constant(0.0), total)
        with edge_loop(code, start, index) as edge:
            value, _ = _value_and_slope(code, self.splines, lengths, tables, edge)
            code.add_to(total, value, 1)
        code.store(code.load(total), code.offset(out, index))

    def reverse(self, program: "Program") -> None:
        reads = (self.length, program.receiver, *self.splines.arguments)
        program.add(_SumReverse(program, self, self.length, *reads))


class _SumReverse(RowReverse[SumOfSplines]):
    """dE/dr_e = g_i w'(r_e), for the cotangent g_i of the receiver i of edge e."""

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        target, cotangent, lengths, receiver, *tables = pointers
        _, slope = _value_and_slope(code, self.forward.splines, lengths, tables, index)
        g = code.load(code.offset(cotangent, code.load_int(receiver, index)))
        store_or_add(code, code.mul(g, slope), code.offset(target, index), add=self.add)


def _value_and_slope(
    code: VectorCode, splines: EdgeSplines, lengths: Value, tables: Iterable[Value], edge: Value
) -> tuple[Value, Value]:
    """w(r) and w'(r) of an edge."""
    spline, (value, slope) = WeightSplines(1), (allocate_once(code, 1) for _ in range(2))
    with code.build.goto_entry_block():
        spline.prepare(code)
    values = splines.at_edge(code, spline, lengths, tables, edge)
    spline.write_values_and_slopes(code, values, 0, 1, value, slope)
    return code.load(value), code.load(slope)
