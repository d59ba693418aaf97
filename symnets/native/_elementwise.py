"""Operations that a program adds between those of layers: stored lookups, sums, copies and constants."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from symnets.native._operation import Constant, Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class StoreLookup(RowOperation):
    """Store the rows of a lookup: for each atom, the row of the table for its species."""

    def __init__(self, program: "Program", lookup: Matrix) -> None:
        self.table = Constant(lookup.table.double().numpy())
        super().__init__((lookup,), (self.table, program.species), over="all")

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, table, species = pointers
        columns = self.out.columns
        source = code.row_pointer(table, code.load_int(species, index), columns)
        row = Row(code, {self.table: source, self.out: code.row_pointer(out, index, columns)}, self.adds)
        row.for_channels(columns, self.formula)

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        lanes.store(lanes.load(self.table), self.out)


class Sum(RowOperation):
    """out = a + b."""

    def __init__(self, program: "Program", a: Matrix, b: Matrix) -> None:
        assert (a.rows, a.columns, a.kind) == (b.rows, b.columns, b.kind), (a.name, b.name)
        differentiable = a.differentiable or b.differentiable
        out = program.matrix("sum", a.rows, a.columns, a.kind, differentiable=differentiable)
        self.a, self.b = a, b
        super().__init__((out,), (a, b))

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        lanes.store(code.build.fadd(lanes.load(self.a), lanes.load(self.b)), self.out)

    def reverse(self, program: "Program") -> None:
        cotangent = program.require_cotangent(self.out)
        for term in (self.a, self.b):
            if term.differentiable:
                program.share_cotangent(term, cotangent)


class AddTo(RowOperation):
    """target += source, or target = source."""

    def __init__(self, target: Matrix, source: Matrix, *, add: bool) -> None:
        self.source = source
        super().__init__((target,), (source,), adds=(target,) if add else ())

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        lanes.store(lanes.load(self.source), self.out)


class Ones(RowOperation):
    """Set all entries to 1: the derivative of the sum of all energies with respect to each energy."""

    def __init__(self, target: Matrix) -> None:
        super().__init__((target,), ())

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        lanes.store(lanes.constant(1.0), self.out)
