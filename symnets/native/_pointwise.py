"""Operations entry by entry: activation functions, affine functions, and copies of columns."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._math_code import ACTIVATIONS
from symnets.native._operation import Matrix, Operation, Over
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class Activate(Operation):
    """y = φ(x) for each entry, with an activation function φ.

    Args:
        program: the program.
        x: argument.
        activation: name of φ, see `activation_name`.
    """

    def __init__(self, program: "Program", x: Matrix, activation: str) -> None:
        self.x, self.activation, self.over = x, activation, over_rows(x)
        self.out = program.matrix(activation, x.rows, x.columns, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.activation

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, low, high = code.arguments
        with code.loop(low, high) as row:
            out, x = (code.row_pointer(table, row, self.x.columns) for table in tables)

            def body(first: Value, lanes: int) -> None:
                of_x = ACTIVATIONS[self.activation](code.build, code.load(code.offset(x, first), lanes))
                code.store(of_x.value, code.offset(out, first), lanes)

            code.for_channels(self.x.columns, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if self.x.differentiable:
            target, add = program.add_cotangent(self.x)
            program.add(_ActivateReverse(target, source, self.x, self.activation, add=add))


class _ActivateReverse(Operation):
    """dx = φ'(x) dy."""

    def __init__(self, target: Matrix, source: Matrix, x: Matrix, activation: str, *, add: bool) -> None:
        self.x, self.activation, self.add, self.over = x, activation, add, over_rows(x)
        self.arguments, self.writes = (target, source, x), (target,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.activation, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, low, high = code.arguments
        with code.loop(low, high) as row:
            target, source, x = (code.row_pointer(table, row, self.x.columns) for table in tables)

            def body(first: Value, lanes: int) -> None:
                of_x = ACTIVATIONS[self.activation](code.build, code.load(code.offset(x, first), lanes))
                value = code.mul(of_x.derivative, code.load(code.offset(source, first), lanes))
                store_or_add(code, value, code.offset(target, first), lanes, add=self.add)

            code.for_channels(self.x.columns, body)
        code.build.ret_void()
        return code.function


class Affine(Operation):
    """y = a x + b for each entry, with numbers a and b.

    Args:
        program: the program.
        x: argument.
        factor: a.
        constant: b.
    """

    def __init__(self, program: "Program", x: Matrix, factor: float, constant: float) -> None:
        self.x, self.factor, self.constant, self.over = x, factor, constant, over_rows(x)
        self.out = program.matrix("affine", x.rows, x.columns, x.kind, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.factor, self.constant

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, real(dtype, self.x), self.kinds, public=False)
        *tables, low, high = code.arguments
        with code.loop(low, high) as row:
            out, x = (code.row_pointer(table, row, self.x.columns) for table in tables)

            def body(first: Value, lanes: int) -> None:
                factor, constant = (code.constant(c, lanes) for c in (self.factor, self.constant))
                value = code.fma(constant, factor, code.load(code.offset(x, first), lanes))
                code.store(value, code.offset(out, first), lanes)

            code.for_channels(self.x.columns, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if not self.x.differentiable:
            return
        if self.factor == 1:
            program.share_cotangent(self.x, source)
            return
        scaled = Affine(program, source, self.factor, 0.0)
        program.add(scaled)
        program.share_cotangent(self.x, scaled.out)


class Columns(Operation):
    """Columns first, ..., first + n - 1 of a matrix.

    Args:
        program: the program.
        x: the matrix.
        first: first column.
        n: number of columns.
    """

    def __init__(self, program: "Program", x: Matrix, first: int, n: int) -> None:
        self.x, self.first, self.n, self.over = x, first, n, over_rows(x)
        self.out = program.matrix("columns", x.rows, n, x.kind, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.first, self.n

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, real(dtype, self.x), self.kinds, public=False)
        outs, table, low, high = code.arguments
        with code.loop(low, high) as row:
            out = code.row_pointer(outs, row, self.n)
            x = code.offset(code.row_pointer(table, row, self.x.columns), self.first)

            def body(first: Value, lanes: int) -> None:
                code.store(code.load(code.offset(x, first), lanes), code.offset(out, first), lanes)

            code.for_channels(self.n, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if self.x.differentiable:
            target, add = program.add_cotangent(self.x)
            program.add(_ColumnsReverse(target, source, self.first, add=add))


class _ColumnsReverse(Operation):
    """The cotangent of some columns, written into a matrix with zeros in the others, or added."""

    def __init__(self, target: Matrix, source: Matrix, first: int, *, add: bool) -> None:
        self.target, self.source, self.first, self.add = target, source, first, add
        self.over = over_rows(target)
        self.arguments, self.writes = (target, source), (target,)

    @property
    def key(self) -> Hashable:
        return self.target.columns, self.source.columns, self.first, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, real(dtype, self.target), self.kinds, public=False)
        targets, sources, low, high = code.arguments
        n, end = self.source.columns, self.first + self.source.columns
        with code.loop(low, high) as row:
            target = code.row_pointer(targets, row, self.target.columns)
            source = code.row_pointer(sources, row, n)
            inside = code.offset(target, self.first)

            def body(first: Value, lanes: int) -> None:
                value = code.load(code.offset(source, first), lanes)
                store_or_add(code, value, code.offset(inside, first), lanes, add=self.add)

            code.for_channels(n, body)
            if not self.add:
                for start, width in ((0, self.first), (end, self.target.columns - end)):
                    outside = code.offset(target, start)
                    code.for_channels(
                        width,
                        lambda first, lanes, outside=outside: code.store(
                            code.constant(0.0, lanes), code.offset(outside, first), lanes
                        ),
                    )
        code.build.ret_void()
        return code.function


def over_rows(matrix: Matrix) -> Over:
    """Rows that an operation on each row of a matrix computes: own atoms, or edges."""
    return "edges" if matrix.rows == "edges" else "local"


def real(dtype: str, matrix: Matrix) -> str:
    """Dtype of the numbers of a matrix in a program of a dtype."""
    return "float64" if matrix.kind == "d" else dtype


def store_or_add(code: VectorCode, value: Value, pointer: Value, lanes: int, *, add: bool) -> None:
    """Store `lanes` numbers, or add them to what is there."""
    if add:
        code.add_to(pointer, value, lanes)
    else:
        code.store(value, pointer, lanes)
