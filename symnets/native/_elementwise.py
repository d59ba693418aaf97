"""Operations entry by entry: stored lookups, sums, copies and constants."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._operation import Constant, Matrix, Operation
from symnets.ops import VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class StoreLookup(Operation):
    """Writes the rows of a lookup, the row of the table of each atom's species."""

    over = "all"

    def __init__(self, program: "Program", lookup: Matrix) -> None:
        self.columns = lookup.columns
        self.arguments = (lookup, Constant(lookup.table.double().numpy()), program.species)
        self.writes = (lookup,)

    @property
    def key(self) -> Hashable:
        return self.columns

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, table, species, low, high = code.arguments
        with code.loop(low, high) as row:
            source = code.row_pointer(table, code.load_int(species, row), self.columns)
            target = code.row_pointer(out, row, self.columns)
            code.for_channels(
                self.columns,
                lambda first, lanes: code.store(
                    code.load(code.offset(source, first), lanes), code.offset(target, first), lanes
                ),
            )
        code.build.ret_void()
        return code.function


class Sum(Operation):
    """out = a + b, for rows of own atoms."""

    over = "local"

    def __init__(self, program: "Program", a: Matrix, b: Matrix) -> None:
        assert (a.rows, a.columns, a.kind) == (b.rows, b.columns, b.kind), (a.name, b.name)
        differentiable = a.differentiable or b.differentiable
        self.out = program.matrix("sum", a.rows, a.columns, a.kind, differentiable=differentiable)
        self.a, self.b = a, b
        self.arguments, self.writes = (self.out, a, b), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.a.columns, self.a.kind

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        dtype = "float64" if self.a.kind == "d" else dtype
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        out, a, b, low, high = code.arguments

        def add(first: ir.Value, lanes: int) -> None:
            total = code.build.fadd(*(code.load(code.offset(row, first), lanes) for row in rows))
            code.store(total, code.offset(target, first), lanes)

        with code.loop(low, high) as row:
            target, *rows = (code.row_pointer(table, row, self.a.columns) for table in (out, a, b))
            code.for_channels(self.a.columns, add)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        cotangent = program.cotangent(self.out)
        assert cotangent is not None
        for term in (self.a, self.b):
            if term.differentiable:
                program.share_cotangent(term, cotangent)


class AddTo(Operation):
    """Adds one matrix to another, or overwrites it, for rows of all atoms or of edges."""

    def __init__(self, target: Matrix, source: Matrix, *, add: bool) -> None:
        self.target, self.add = target, add
        self.over = "edges" if target.rows == "edges" else "local"
        self.arguments, self.writes = (target, source), (target,)

    @property
    def key(self) -> Hashable:
        return self.target.columns, self.target.kind, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        dtype = "float64" if self.target.kind == "d" else dtype
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, source, low, high = code.arguments

        def add(first: ir.Value, lanes: int) -> None:
            value = code.load(code.offset(rows[1], first), lanes)
            place = code.offset(rows[0], first)
            code.add_to(place, value, lanes) if self.add else code.store(value, place, lanes)

        with code.loop(low, high) as row:
            rows = [code.row_pointer(table, row, self.target.columns) for table in (target, source)]
            code.for_channels(self.target.columns, add)
        code.build.ret_void()
        return code.function


class Ones(Operation):
    """Sets all entries of a matrix of own atoms to one: the cotangent of the energies."""

    over = "local"

    def __init__(self, target: Matrix) -> None:
        self.target = target
        self.arguments = self.writes = (target,)

    @property
    def key(self) -> Hashable:
        return self.target.columns, self.target.kind

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        dtype = "float64" if self.target.kind == "d" else dtype
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, low, high = code.arguments
        with code.loop(low, high) as row:
            place = code.row_pointer(target, row, self.target.columns)
            for column in range(self.target.columns):
                code.store(code.constant(1.0), code.offset(place, column))
        code.build.ret_void()
        return code.function
