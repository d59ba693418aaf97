"""Where the weights of a tensor product come from, as machine code: a row of each pair, or its length."""

from collections.abc import Sequence
from typing import Protocol

from symnets.ops._vector_code import I64, Value, VectorCode


class Weights(Protocol):
    """What the code of a product asks of its weights.

    Attributes:
        public: their arguments of the public functions, as `VectorCode` counts them.
        internal: what a pair hands to the functions of its paths.
        columns: numbers a pair has in their derivative.
    """

    public: str
    internal: str
    columns: int

    def prepare(self, code: VectorCode) -> None:
        """Before the loops of a public function."""
        ...

    def of_pair(self, code: VectorCode, given: Sequence[Value], pair: Value) -> list[Value]:
        """What `internal` says, of the edges of a pair."""
        ...

    def clear(self, code: VectorCode, out: Value) -> None:
        """Before the first edge of a pair: nothing is in its row of the derivative."""
        ...

    def value(self, code: VectorCode, given: Sequence[Value], column: Value, lanes: int) -> Value:
        """Weights from a column on."""
        ...

    def differentiate(
        self,
        code: VectorCode,
        given: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        total: Value,
    ) -> None:
        """Adds the derivative in weights from a column on; `total` is a register of sums of the pair."""
        ...

    def finish(self, code: VectorCode, out: Value, total: Value) -> None:
        """After all edges of a pair."""
        ...


class WeightRows:
    """A row of weights for each pair; their derivative is one, too."""

    public, internal = "r", "r"

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def prepare(self, code: VectorCode) -> None:
        """Nothing to prepare."""

    def of_pair(self, code: VectorCode, given: Sequence[Value], pair: Value) -> list[Value]:
        """The row."""
        return [code.row_pointer(given[0], pair, self.columns)]

    def clear(self, code: VectorCode, out: Value) -> None:
        """Zeros."""
        code.for_channels(
            self.columns,
            lambda first, lanes: code.store(code.constant(0.0, lanes), code.offset(out, first), lanes),
        )

    def value(self, code: VectorCode, given: Sequence[Value], column: Value, lanes: int) -> Value:
        """Read."""
        return code.load(code.offset(given[0], column), lanes)

    def differentiate(
        self,
        code: VectorCode,
        given: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        total: Value,
    ) -> None:
        """Added: each is met once an edge."""
        code.add_to(code.offset(out, column), d_weight, lanes)

    def finish(self, code: VectorCode, out: Value, total: Value) -> None:
        """Nothing is left to do."""


class WeightSplines:
    """Weights as cubic Hermite splines of the pair's length r, with knots at n h, n = 0, 1, ...:

        w(r) = (1 + 2u)(1-u)² w_n + u(1-u)² h w'_n + u²(3-2u) w_(n+1) - u²(1-u) h w'_(n+1),    u = r/h - n.

    The table has a row a knot: w_n, then h w'_n. A pair hands on its knot's row and eight numbers, the
    coefficients of w and those of dw/dr. The derivative of a pair is one number, dL/dr.

    Arguments of the public functions: lengths, table, and a pointer to 1/h.
    """

    public, internal, columns = "rrr", "rr", 1

    def __init__(self, weight_numel: int) -> None:
        self.numel = weight_numel

    def prepare(self, code: VectorCode) -> None:
        """Room for the coefficients."""
        self.coefficients = code.allocate(8)

    def of_pair(self, code: VectorCode, given: Sequence[Value], pair: Value) -> list[Value]:
        """The knot below, and the coefficients."""
        lengths, table, per_step = given
        b, one = code.build, code.constant(1.0)
        inverse = code.load(per_step)
        place = b.fmul(code.load(code.offset(lengths, pair)), inverse)
        knot = b.fptosi(place, I64)
        u = b.fsub(place, b.sitofp(knot, code.real))
        v = b.fsub(one, u)
        uv, two, three, six = b.fmul(u, v), code.constant(2.0), code.constant(3.0), code.constant(6.0)
        slope = b.fmul(b.fmul(six, uv), inverse)
        values = [
            b.fmul(b.fmul(v, v), b.fadd(one, b.fmul(two, u))),
            b.fmul(uv, v),
            b.fmul(b.fmul(u, u), b.fsub(three, b.fmul(two, u))),
            b.fneg(b.fmul(uv, u)),
            b.fneg(slope),
            b.fmul(b.fmul(v, b.fsub(one, b.fmul(three, u))), inverse),
            slope,
            b.fmul(b.fmul(u, b.fsub(b.fmul(three, u), two)), inverse),
        ]
        for k, value in enumerate(values):
            code.store(value, code.offset(self.coefficients, k))
        return [code.row_pointer(table, knot, 2 * self.numel), self.coefficients]

    def clear(self, code: VectorCode, out: Value) -> None:
        """Nothing is written before the end."""

    def value(self, code: VectorCode, given: Sequence[Value], column: Value, lanes: int) -> Value:
        """Interpolated."""
        return self._sum(code, given, column, lanes, 0)

    def differentiate(
        self,
        code: VectorCode,
        given: Sequence[Value],
        column: Value,
        lanes: int,
        d_weight: Value,
        out: Value,
        total: Value,
    ) -> None:
        """Summed over channels with dw/dr."""
        code.add_to(total, code.mul(d_weight, self._sum(code, given, column, lanes, 4)), lanes)

    def finish(self, code: VectorCode, out: Value, total: Value) -> None:
        """dL/dr is written."""
        code.store(code.sum_lanes(total), out)

    def _sum(self, code: VectorCode, given: Sequence[Value], column: Value, lanes: int, first: int) -> Value:
        """Four numbers of the table, with coefficients from `first` on."""
        row, coefficients = given
        found: Value = None
        for k in range(4):
            number = code.load(code.offset(code.offset(row, column), k * self.numel), lanes)
            found = code.fma(found, code.broadcast(code.offset(coefficients, first + k), lanes), number)
        return found
