"""Operations that divide each row by a number: the root mean square of its entries, or a given number."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from symnets.native._math_code import square_root
from symnets.native._operation import CannotLower, Constant, Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation, RowReverse, allocate_once
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class NormalizeRows(RowOperation):
    """Rows divided by the root of a weighted sum of squares: y_c = g_c x_c (Σ_d a_d x_d² + ε)^(-1/2).

    Args:
        program: the program.
        x: the rows.
        weights: a, one for each column.
        gains: g, one for each column.
        eps: ε.
    """

    def __init__(
        self, program: "Program", x: Matrix, weights: np.ndarray, gains: np.ndarray, eps: float
    ) -> None:
        self.x, self.eps = x, eps
        self.weights, self.gains = Constant(weights), Constant(gains)
        out = program.matrix("normalized", x.rows, x.columns, differentiable=x.differentiable)
        super().__init__((out,), (x, self.weights, self.gains), settings=eps)

    def write_channels(self, row: Row) -> None:
        factor, sums = allocate_once(row.code, 1), allocate_once(row.code, row.code.width)
        row.code.store(self.inverse_root(row, sums), factor)

        def formula(code: VectorCode, lanes: Lanes) -> None:
            value = code.mul(lanes.load(self.x), lanes.broadcast(factor))
            lanes.store(code.mul(value, lanes.load(self.gains)), self.out)

        row.for_channels(self.x.columns, formula)

    def inverse_root(self, row: Row, sums: Value) -> Value:
        """f = (Σ_d a_d x_d² + ε)^(-1/2), with memory for one register."""
        total = _sum(row, [self.weights, self.x, self.x], self.x.columns, sums)
        total = row.code.build.fadd(total, row.code.constant(self.eps))
        return row.code.build.fdiv(row.code.constant(1.0), square_root(row.code.build, total))

    def reverse(self, program: "Program") -> None:
        if self.x.differentiable:
            program.add(_NormalizeReverse(program, self, self.x, self.x, self.weights, self.gains))


class _NormalizeReverse(RowReverse[NormalizeRows]):
    """dx_c = f g_c dy_c - f³ a_c x_c Σ_d g_d dy_d x_d, where f is the factor (Σ_d a_d x_d² + ε)^(-1/2)."""

    def write_channels(self, row: Row) -> None:
        x, a, g = self.forward.x, self.forward.weights, self.forward.gains
        factor, other, sums = (allocate_once(row.code, n) for n in (1, 1, row.code.width))
        f = self.forward.inverse_root(row, sums)
        dot = _sum(row, [g, self.dy, x], x.columns, sums)
        cube = row.code.mul(row.code.mul(f, f), f)
        row.code.store(f, factor)
        row.code.store(row.code.build.fneg(row.code.mul(cube, dot)), other)

        def formula(code: VectorCode, lanes: Lanes) -> None:
            of_g, of_dy, of_a, of_x = (lanes.load(argument) for argument in (g, self.dy, a, x))
            along = code.mul(code.mul(of_g, of_dy), lanes.broadcast(factor))
            lanes.store(code.fma(along, code.mul(of_a, of_x), lanes.broadcast(other)), self.dx)

        row.for_channels(x.columns, formula)


class DivideRows(RowOperation):
    """Rows divided by one number each: y_n = x_n / b_n.

    Args:
        program: the program.
        x: numerators.
        divisor: denominators, one column.
    """

    def __init__(self, program: "Program", x: Matrix, divisor: Matrix) -> None:
        if divisor.columns != 1:
            raise CannotLower(f"division of rows: expected a divisor of 1 column, got {divisor.columns}")
        self.x, self.divisor = x, divisor
        differentiable = x.differentiable or divisor.differentiable
        out = program.matrix("quotient", x.rows, x.columns, differentiable=differentiable)
        super().__init__((out,), (x, divisor))

    def write_channels(self, row: Row) -> None:
        _divide(row, self.x, self.divisor, self.out)

    def reverse(self, program: "Program") -> None:
        program.add(_DivideReverse(program, self))


class _DivideReverse(RowOperation):
    """dx_n = dy_n / b_n, db_n = -<dy_n, y_n> / b_n."""

    def __init__(self, program: "Program", forward: DivideRows) -> None:
        self.y, self.divisor = forward.out, forward.divisor
        self.dy = program.require_cotangent(forward.out)
        # Matrix of each cotangent and whether to add to it; None for an argument that is not differentiable.
        of_x = program.add_cotangent(forward.x) if forward.x.differentiable else None
        of_divisor = program.add_cotangent(self.divisor) if self.divisor.differentiable else None
        self.dx, self.d_divisor = (None if of is None else of[0] for of in (of_x, of_divisor))
        targets = [of for of in (of_x, of_divisor) if of is not None]
        super().__init__(
            [matrix for matrix, _ in targets],
            (self.dy, self.y, self.divisor),
            adds=[matrix for matrix, add in targets if add],
            settings=(of_x is None, of_divisor is None),
        )

    def write_channels(self, row: Row) -> None:
        if self.dx is not None:
            _divide(row, self.dy, self.divisor, self.dx)
        if (target := self.d_divisor) is not None:
            sums = allocate_once(row.code, row.code.width)
            dot = _sum(row, [self.dy, self.y], self.y.columns, sums)
            value = row.code.build.fneg(row.code.build.fdiv(dot, row.code.load(row.addresses[self.divisor])))
            row.for_channels(1, lambda code, lanes: lanes.store(value, target))


def _divide(row: Row, x: Matrix, divisor: Matrix, out: Matrix) -> None:
    """Write the quotient of a row and a number."""

    def formula(code: VectorCode, lanes: Lanes) -> None:
        numerator = lanes.load(x)
        lanes.store(code.build.fdiv(numerator, lanes.broadcast(row.addresses[divisor])), out)

    row.for_channels(x.columns, formula)


def _sum(row: Row, factors: Sequence[Matrix | Constant], columns: int, sums: Value) -> Value:
    """Sum over the columns of a product of rows.

    Args:
        row: the row.
        factors: matrices and constants.
        columns: number of columns.
        sums: memory for one register.
    """
    row.code.store(row.code.constant(0.0, row.code.width), sums, row.code.width)

    def formula(code: VectorCode, lanes: Lanes) -> None:
        product = lanes.load(factors[0])
        for factor in factors[1:]:
            product = code.mul(product, lanes.load(factor))
        code.add_to(sums, product, lanes.n)

    row.for_channels(columns, formula)
    return row.code.sum_lanes(sums)
