"""Machine code for the weights of a tensor product: rows in memory, or splines of the distance."""

from collections.abc import Sequence
from typing import Protocol

from symnets.ops._vector_code import I64, Value, VectorCode


class Weights(Protocol):
    """Protocol of a representation of the weights, from which the loops read them.

    Attributes:
        public: types of the arguments of the public functions, in the letters of `VectorCode`.
        internal: types of the values of a pair that the internal functions, one for each group of paths,
            receive.
        columns: length of a pair's row of the derivative.
    """

    public: str
    internal: str
    columns: int

    def prepare(self, code: VectorCode) -> None:
        """Write code before the loops of a public function."""
        ...

    def of_pair(self, code: VectorCode, values: Sequence[Value], pair: Value) -> list[Value]:
        """Values of a pair for the internal functions, of the types `internal`."""
        ...

    def clear(self, code: VectorCode, out: Value) -> None:
        """Write code before the first edge of a pair, to clear its row of the derivative."""
        ...

    def value(self, code: VectorCode, values: Sequence[Value], column: Value, lanes: int) -> Value:
        """Weights of the channels from `column` on."""
        ...

    def differentiate(
        self,
        code: VectorCode,
        values: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        pair_sum: Value,
    ) -> None:
        """Add d_weight, dL/dw of the channels from `column` on, to the derivative of the pair.

        It is stored in the row `out`, or summed in the register `pair_sum`.
        """
        ...

    def finish(self, code: VectorCode, out: Value, pair_sum: Value) -> None:
        """Write code after the last edge of a pair."""
        ...


class WeightRows:
    """Weights stored as one row for each pair; their derivative has the same form."""

    public, internal = "r", "r"

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def prepare(self, code: VectorCode) -> None:
        """Write nothing."""

    def of_pair(self, code: VectorCode, values: Sequence[Value], pair: Value) -> list[Value]:
        """Pointer to the row of weights."""
        return [code.row_pointer(values[0], pair, self.columns)]

    def clear(self, code: VectorCode, out: Value) -> None:
        """Set the row of the derivative to zero."""
        code.fill_zeros(out, self.columns)

    def value(self, code: VectorCode, values: Sequence[Value], column: Value, lanes: int) -> Value:
        """Weights loaded from the row."""
        return code.load(code.offset(values[0], column), lanes)

    def differentiate(
        self,
        code: VectorCode,
        values: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        pair_sum: Value,
    ) -> None:
        """Add to the row of the derivative."""
        code.add_to(code.offset(out, column), d_weight, lanes)

    def finish(self, code: VectorCode, out: Value, pair_sum: Value) -> None:
        """Write nothing after the last edge."""


class WeightSplines:
    """Weights as cubic Hermite splines of the pair's length r, with knots at n h, n = 0, 1, ...:

        w(r) = (1 + 2u)(1-u)² w_n + u(1-u)² h w'_n + u²(3-2u) w_(n+1) - u²(1-u) h w'_(n+1),    u = r/h - n.

    The table has one row for each knot: w_n, then h w'_n. The values of a pair are the row of its knot and
    eight coefficients, four of w and four of dw/dr. The derivative of a pair is one number, dL/dr.

    Arguments of the public functions: lengths, table, a pointer to 1/h, and the row of the knot r = 0 of each
    pair, since there may be several sets of functions w in the table.
    """

    public, internal, columns = "rrri", "rr", 1

    def __init__(self, weight_numel: int) -> None:
        self.numel = weight_numel

    def prepare(self, code: VectorCode) -> None:
        """Allocate memory for the coefficients."""
        self.coefficients = code.allocate(8)

    def of_pair(self, code: VectorCode, values: Sequence[Value], pair: Value) -> list[Value]:
        """Row of the knot below r, and the coefficients."""
        lengths, table, inverse_step, first_row = values
        length, inverse = code.load(code.offset(lengths, pair)), code.load(inverse_step)
        return self.at_length(code, length, inverse, table, code.load_int(first_row, pair))

    def at_length(
        self, code: VectorCode, length: Value, inverse: Value, table: Value, first_row: Value
    ) -> list[Value]:
        """Row of the knot below a length, and the eight coefficients.

        Args:
            code: where the code is written.
            length: r.
            inverse: 1/h.
            table: pointer to the table.
            first_row: row of the knot r = 0.
        """
        b, one = code.build, code.constant(1.0)
        scaled = b.fmul(length, inverse)
        knot = b.fptosi(scaled, I64)
        u = b.fsub(scaled, b.sitofp(knot, code.real))
        v = b.fsub(one, u)
        uv, two, three, six = b.fmul(u, v), code.constant(2.0), code.constant(3.0), code.constant(6.0)
        slope = b.fmul(b.fmul(six, uv), inverse)
        basis = [
            b.fmul(b.fmul(v, v), b.fadd(one, b.fmul(two, u))),
            b.fmul(uv, v),
            b.fmul(b.fmul(u, u), b.fsub(three, b.fmul(two, u))),
            b.fneg(b.fmul(uv, u)),
            b.fneg(slope),
            b.fmul(b.fmul(v, b.fsub(one, b.fmul(three, u))), inverse),
            slope,
            b.fmul(b.fmul(u, b.fsub(b.fmul(three, u), two)), inverse),
        ]
        for k, value in enumerate(basis):
            code.store(value, code.offset(self.coefficients, k))
        row = b.add(first_row, knot)
        return [code.row_pointer(table, row, 2 * self.numel), self.coefficients]

    def clear(self, code: VectorCode, out: Value) -> None:
        """Write nothing: `finish` sets the derivative."""

    def value(self, code: VectorCode, values: Sequence[Value], column: Value, lanes: int) -> Value:
        """Interpolated weights."""
        return self._sum(code, values, column, lanes, 0)

    def differentiate(
        self,
        code: VectorCode,
        values: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        pair_sum: Value,
    ) -> None:
        """Add d_weight dw/dr, lane by lane, to the register `pair_sum`."""
        code.add_to(pair_sum, code.mul(d_weight, self._sum(code, values, column, lanes, 4)), lanes)

    def finish(self, code: VectorCode, out: Value, pair_sum: Value) -> None:
        """Store dL/dr, the sum of the register."""
        code.store(code.sum_lanes(pair_sum), out)

    def write_values_and_slopes(
        self, code: VectorCode, values: Sequence[Value], first: int, n: int, weights: Value, slopes: Value
    ) -> None:
        """Write a loop that stores n weights, from column `first` on, and their derivatives dw/dr.

        The coefficients of w_n and w_(n+1) add up to 1 for w and to 0 for dw/dr. With the difference
        w_(n+1) - w_n, each sum therefore takes three products instead of four.
        """
        tail = n % code.width
        factors = {
            lanes: [code.broadcast(code.offset(values[1], k), lanes) for k in (1, 2, 3, 5, 6, 7)]
            for lanes in (code.width, tail)
            if lanes
        }

        def body(column: Value, lanes: int) -> None:
            below, slope_below, above, slope_above = self._numbers(
                code, values, code.add_int(column, first), lanes
            )
            parts = slope_below, code.build.fsub(above, below), slope_above
            value, slope = below, None
            for k, part in enumerate(parts):
                value = code.fma(value, factors[lanes][k], part)
                slope = code.fma(slope, factors[lanes][3 + k], part)
            code.store(value, code.offset(weights, column), lanes)
            code.store(slope, code.offset(slopes, column), lanes)

        code.for_channels(n, body)

    def _sum(self, code: VectorCode, values: Sequence[Value], column: Value, lanes: int, first: int) -> Value:
        """Linear combination of four numbers of the table with the coefficients from `first` on."""
        return self._combine(code, values, self._numbers(code, values, column, lanes), lanes, first)

    def _numbers(self, code: VectorCode, values: Sequence[Value], column: Value, lanes: int) -> list[Value]:
        row = code.offset(values[0], column)
        return [code.load(code.offset(row, k * self.numel), lanes) for k in range(4)]

    def _combine(
        self, code: VectorCode, values: Sequence[Value], numbers: Sequence[Value], lanes: int, first: int
    ) -> Value:
        result: Value = None
        for k, number in enumerate(numbers, start=first):
            result = code.fma(result, code.broadcast(code.offset(values[1], k), lanes), number)
        return result
