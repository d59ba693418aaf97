"""Operations on each entry of a matrix: activation functions, affine functions, and choice of columns."""

from typing import TYPE_CHECKING

from symnets.native._math_code import ACTIVATIONS
from symnets.native._operation import Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation, RowReverse
from symnets.ops import VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class Activate(RowOperation):
    """y = φ(x) for each entry, with an activation function φ.

    Args:
        program: the program.
        x: argument.
        activation: name of φ, see `activation_name`.
    """

    def __init__(self, program: "Program", x: Matrix, activation: str) -> None:
        self.x, self.activation = x, activation
        out = program.matrix(activation, x.rows, x.columns, differentiable=x.differentiable)
        super().__init__((out,), (x,), settings=activation)

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        of_x = ACTIVATIONS[self.activation](code.build, lanes.load(self.x))
        lanes.store(of_x.value, self.out)

    def reverse(self, program: "Program") -> None:
        if self.x.differentiable:
            program.add(_ActivateReverse(program, self, self.x, self.x))


class _ActivateReverse(RowReverse[Activate]):
    """dx = φ'(x) dy."""

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        of_x = ACTIVATIONS[self.forward.activation](code.build, lanes.load(self.forward.x))
        lanes.store(code.mul(of_x.derivative, lanes.load(self.dy)), self.dx)


class Affine(RowOperation):
    """y = a x + b for each entry, with numbers a and b.

    Args:
        program: the program.
        x: argument.
        factor: a.
        constant: b.
    """

    def __init__(self, program: "Program", x: Matrix, factor: float, constant: float) -> None:
        self.x, self.factor, self.constant = x, factor, constant
        out = program.matrix("affine", x.rows, x.columns, x.kind, differentiable=x.differentiable)
        super().__init__((out,), (x,), settings=(factor, constant))

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        factor, constant = lanes.constant(self.factor), lanes.constant(self.constant)
        lanes.store(code.fma(constant, factor, lanes.load(self.x)), self.out)

    def reverse(self, program: "Program") -> None:
        if not self.x.differentiable:
            return
        dy = program.require_cotangent(self.out)
        dx = dy if self.factor == 1 else program.affine(dy, self.factor, 0.0)
        program.share_cotangent(self.x, dx)


class Columns(RowOperation):
    """Columns first, ..., first + n - 1 of a matrix.

    Args:
        program: the program.
        x: the matrix.
        first: first column.
        n: number of columns.
    """

    def __init__(self, program: "Program", x: Matrix, first: int, n: int) -> None:
        self.x, self.first = x, first
        out = program.matrix("columns", x.rows, n, x.kind, differentiable=x.differentiable)
        super().__init__((out,), (x,), settings=first)

    def formula(self, code: VectorCode, lanes: Lanes) -> None:
        lanes.store(lanes.load(self.x, self.first), self.out)

    def reverse(self, program: "Program") -> None:
        if self.x.differentiable:
            program.add(_ColumnsReverse(program, self, self.x))


class _ColumnsReverse(RowReverse[Columns]):
    """dx has the columns of dy, and zeros in all other columns."""

    def write_channels(self, row: Row) -> None:
        first, n = self.forward.first, self.dy.columns
        row.for_channels(n, lambda code, lanes: lanes.store(lanes.load(self.dy), self.dx, first))
        if not self.adds:
            self._write_zeros(row, 0, first)
            self._write_zeros(row, first + n, self.dx.columns)

    def _write_zeros(self, row: Row, start: int, end: int) -> None:
        row.for_channels(end - start, lambda code, lanes: lanes.store(lanes.constant(0.0), self.dx, start))
