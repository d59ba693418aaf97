"""Row operations that divide each row by a number: the root mean square of its entries, or a given one."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir

from symnets.native._math_code import square_root
from symnets.native._operation import CannotLower, Constant, Matrix, Operation
from symnets.native._pointwise import over_rows, store_or_add
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class NormalizeRows(Operation):
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
        self.x, self.eps, self.over = x, eps, over_rows(x)
        self.weights, self.gains = Constant(weights), Constant(gains)
        self.out = program.matrix("normalized", x.rows, x.columns, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x, self.weights, self.gains), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.eps

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        outs, rows, weights, gains, low, high = code.arguments
        factor, sums = code.allocate(1), code.allocate(code.width)
        with code.loop(low, high) as row:
            out, x = (code.row_pointer(table, row, self.x.columns) for table in (outs, rows))
            inverse = _inverse_root(code, self.x.columns, sums, [weights, x, x], self.eps)
            code.store(inverse, factor)

            def body(first: Value, lanes: int) -> None:
                value = code.mul(code.load(code.offset(x, first), lanes), code.broadcast(factor, lanes))
                gained = code.mul(value, code.load(code.offset(gains, first), lanes))
                code.store(gained, code.offset(out, first), lanes)

            code.for_channels(self.x.columns, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if self.x.differentiable:
            target, add = program.add_cotangent(self.x)
            program.add(_NormalizeReverse(self, target, source, add=add))


class _NormalizeReverse(Operation):
    """dx_c = f g_c dy_c - f³ a_c x_c Σ_d g_d dy_d x_d, where f is the factor (Σ_d a_d x_d² + ε)^(-1/2)."""

    def __init__(self, forward: NormalizeRows, target: Matrix, source: Matrix, *, add: bool) -> None:
        self.eps, self.add, self.over = forward.eps, add, forward.over
        self.arguments = (target, source, forward.x, forward.weights, forward.gains)
        self.writes = (target,)
        self.columns = target.columns

    @property
    def key(self) -> Hashable:
        return self.columns, self.eps, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, weights, gains, low, high = code.arguments
        factor, other, sums = (code.allocate(n) for n in (1, 1, code.width))
        with code.loop(low, high) as row:
            target, source, x = (code.row_pointer(table, row, self.columns) for table in tables)
            inverse = _inverse_root(code, self.columns, sums, [weights, x, x], self.eps)
            dot = row_sum(code, self.columns, sums, [gains, source, x])
            cube = code.mul(code.mul(inverse, inverse), inverse)
            code.store(inverse, factor)
            code.store(code.build.fneg(code.mul(cube, dot)), other)

            def body(first: Value, lanes: int) -> None:
                g, dy, a, value = (
                    code.load(code.offset(pointer, first), lanes) for pointer in (gains, source, weights, x)
                )
                along = code.mul(code.mul(g, dy), code.broadcast(factor, lanes))
                total = code.fma(along, code.mul(a, value), code.broadcast(other, lanes))
                store_or_add(code, total, code.offset(target, first), lanes, add=self.add)

            code.for_channels(self.columns, body)
        code.build.ret_void()
        return code.function


class DivideRows(Operation):
    """Rows divided by one number each: y_n = x_n / b_n.

    Args:
        program: the program.
        x: numerators.
        divisor: denominators, one column.
    """

    def __init__(self, program: "Program", x: Matrix, divisor: Matrix) -> None:
        if divisor.columns != 1:
            raise CannotLower(f"division of rows by {divisor.columns} columns")
        self.x, self.divisor, self.over = x, divisor, over_rows(x)
        differentiable = x.differentiable or divisor.differentiable
        self.out = program.matrix("quotient", x.rows, x.columns, differentiable=differentiable)
        self.arguments, self.writes = (self.out, x, divisor), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, divisors, low, high = code.arguments
        with code.loop(low, high) as row:
            out, x = (code.row_pointer(table, row, self.x.columns) for table in tables)
            divisor = code.offset(divisors, row)

            def body(first: Value, lanes: int) -> None:
                value = code.load(code.offset(x, first), lanes)
                quotient = code.build.fdiv(value, code.broadcast(divisor, lanes))
                code.store(quotient, code.offset(out, first), lanes)

            code.for_channels(self.x.columns, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        targets = [program.add_cotangent(m) if m.differentiable else None for m in (self.x, self.divisor)]
        program.add(_DivideReverse(source, self.out, self.divisor, *targets))


class _DivideReverse(Operation):
    """dx_n = dy_n / b_n, db_n = -<dy_n, y_n> / b_n."""

    def __init__(
        self,
        source: Matrix,
        out: Matrix,
        divisor: Matrix,
        of_x: tuple[Matrix, bool] | None,
        of_divisor: tuple[Matrix, bool] | None,
    ) -> None:
        self.columns, self.over = out.columns, over_rows(out)
        self.adds = tuple(None if target is None else target[1] for target in (of_x, of_divisor))
        self.writes = [target[0] for target in (of_x, of_divisor) if target is not None]
        self.arguments = (source, out, divisor, *self.writes)

    @property
    def key(self) -> Hashable:
        return self.columns, self.adds

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        source_table, out_table, divisors, *targets, low, high = code.arguments
        of_x, of_divisor = self.adds
        total = code.allocate(code.width)
        with code.loop(low, high) as row:
            source, out = (code.row_pointer(table, row, self.columns) for table in (source_table, out_table))
            divisor = code.offset(divisors, row)
            if of_x is not None:
                target = code.row_pointer(targets[0], row, self.columns)

                def body(first: Value, lanes: int) -> None:
                    value = code.load(code.offset(source, first), lanes)
                    quotient = code.build.fdiv(value, code.broadcast(divisor, lanes))
                    store_or_add(code, quotient, code.offset(target, first), lanes, add=of_x)

                code.for_channels(self.columns, body)
            if of_divisor is not None:
                dot = row_sum(code, self.columns, total, [source, out])
                value = code.build.fneg(code.build.fdiv(dot, code.load(divisor)))
                store_or_add(code, value, code.offset(targets[-1], row), 1, add=of_divisor)
        code.build.ret_void()
        return code.function


def row_sum(code: VectorCode, columns: int, sums: Value, factors: Sequence[Value]) -> Value:
    """Sum over the columns of a product of rows.

    Args:
        code: the function.
        columns: number of columns.
        sums: memory for one register.
        factors: pointers to the rows.
    """
    code.store(code.constant(0.0, code.width), sums, code.width)

    def body(first: Value, lanes: int) -> None:
        product = code.load(code.offset(factors[0], first), lanes)
        for row in factors[1:]:
            product = code.mul(product, code.load(code.offset(row, first), lanes))
        code.add_to(sums, product, lanes)

    code.for_channels(columns, body)
    return code.sum_lanes(sums)


def _inverse_root(code: VectorCode, columns: int, sums: Value, factors: Sequence[Value], eps: float) -> Value:
    """(Σ + ε)^(-1/2) for the sum Σ over the columns of a product of rows."""
    total = code.build.fadd(row_sum(code, columns, sums, factors), code.constant(eps))
    return code.build.fdiv(code.constant(1.0), square_root(code.build, total))
