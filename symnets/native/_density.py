"""Sum over neighbours of a spline of the distance, such as the density of `TabulatedDensity`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from symnets.native._operation import CannotLower, Constant, Matrix
from symnets.native._row_operation import RowOperation, RowReverse, allocate_once, edge_loop, store_or_add
from symnets.ops import I64, Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program
    from symnets.ops import RadialTable


class SumOfSplines(RowOperation):
    """Sum over neighbours, ρ_i = Σ_{e into i} w(r_e), of a cubic spline w, see `RadialTable`.

    Args:
        program: the program.
        table: the spline w: one function, or one for each kind of edge.
        length: r of each edge in Å, at most the cutoff.
        kind: index of the function for each edge; None for the first.

    Attributes:
        out: ρ, (atoms, 1).

    Raises:
        CannotLower: the table ends before the cutoff, or it depends on kinds and the edges have none.
    """

    def __init__(self, program: "Program", table: "RadialTable", length: Matrix, kind: Matrix | None) -> None:
        assert table.n_functions == 1, table.n_functions
        if table.cutoff < program.cutoff:
            raise CannotLower(f"a table that ends at {table.cutoff} Å, before the cutoff {program.cutoff} Å")
        if kind is None and table.n_kinds > 1:
            raise CannotLower("a density with tables for each pair of elements, and edges without kinds")
        self.rows, self.step = table.n_knots + 2, table.step
        self.table = Constant(table.table.detach().cpu().double().numpy())
        self.length = length
        self.kind = () if kind is None or table.n_kinds == 1 else (kind,)
        out = program.matrix("density", "atoms", 1)
        reads = (length, self.table, program.start, *self.kind)
        super().__init__((out,), reads, over="receivers", settings=(self.rows, self.step))

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, length, table, start, *kind = pointers
        total = allocate_once(code, 1)
        code.store(code.constant(0.0), total)
        with edge_loop(code, start, index) as edge:
            u, numbers = _interval(code, self, length, table, kind, edge)
            v = code.build.fsub(code.constant(1.0), u)
            uv, two = code.mul(u, v), code.constant(2.0)
            factors = (
                code.mul(code.mul(v, v), code.fma(code.constant(1.0), two, u)),
                code.mul(uv, v),
                code.mul(code.mul(u, u), code.fma(code.constant(1.0), two, v)),
                code.build.fneg(code.mul(uv, u)),
            )
            code.add_to(total, _dot(code, factors, numbers), 1)
        code.store(code.load(total), code.offset(out, index))

    def reverse(self, program: "Program") -> None:
        reads = (self.table, program.receiver, *self.kind)
        program.add(_SumReverse(program, self, self.length, self.length, *reads))


class _SumReverse(RowReverse[SumOfSplines]):
    """dE/dr_e = g_i w'(r_e), for the cotangent g_i of the receiver i of edge e."""

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        target, cotangent, length, table, receiver, *kind = pointers
        b, inverse = code.build, code.constant(1 / self.forward.step)
        one, two, three, six = (code.constant(n) for n in (1.0, 2.0, 3.0, 6.0))
        u, numbers = _interval(code, self.forward, length, table, kind, index)
        v = b.fsub(one, u)
        slope = code.mul(six, code.mul(u, v))
        factors = (
            b.fneg(slope),
            code.mul(v, b.fsub(one, code.mul(three, u))),
            slope,
            code.mul(u, b.fsub(code.mul(three, u), two)),
        )
        g = code.load(code.offset(cotangent, code.load_int(receiver, index)))
        value = code.mul(code.mul(g, inverse), _dot(code, factors, numbers))
        store_or_add(code, value, code.offset(target, index), add=self.add)


def _interval(
    code: VectorCode, splines: SumOfSplines, length: Value, table: Value, kind: list[Value], edge: Value
) -> tuple[Value, list[Value]]:
    """Position u of an edge's length between two knots, 0 to 1, and w_n, h w'_n, w_(n+1), h w'_(n+1)."""
    b = code.build
    scaled = b.fmul(code.load(code.offset(length, edge)), code.constant(1 / splines.step))
    knot = b.fptosi(scaled, I64)
    u = b.fsub(scaled, b.sitofp(knot, code.real))
    if kind:
        knot = b.add(knot, b.mul(code.load_int(kind[0], edge), I64(splines.rows)))
    row = code.row_pointer(table, knot, 2)
    return u, [code.load(code.offset(row, k)) for k in range(4)]


def _dot(code: VectorCode, factors: Iterable[Value], numbers: Iterable[Value]) -> Value:
    """Sum of products."""
    total: Value = None
    for factor, number in zip(factors, numbers, strict=True):
        total = code.fma(total, factor, number)
    return total
