"""Geometry of edges: lengths, spherical harmonics of the directions, and kinds of pairs of elements."""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir

from symnets.native._harmonics_code import gradient, harmonics
from symnets.native._math_code import square_root
from symnets.native._operation import Constant, Matrix, Operation
from symnets.native._row_operation import RowOperation, store_or_add
from symnets.ops import I64, Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program

MARGIN = 1e-4
"""Fraction of the cutoff by which a length may exceed it, because of the rounding of large coordinates."""


class Geometry(Operation):
    """Length and spherical harmonics of every edge vector, in the dtype of the program.

    Sets the error code of the program for a length that is zero (1), not finite, or beyond the cutoff by more
    than `MARGIN` (2). Lengths beyond the cutoff and NaN become the cutoff, where functions of the length
    vanish: no table is read beyond its end.

    Args:
        program: the program, whose `vectors` it reads.
        lmax: highest degree of the spherical harmonics.
        solid: whether they are solid ones, r^l Y_lm in place of Y_lm.

    Attributes:
        length: r in Å, (edges, 1).
        filters: harmonics, (edges, (lmax + 1)²), normalised 'component' (Σ_m Y_lm² = 2l + 1).
    """

    over = "edges"

    def __init__(self, program: "Program", lmax: int, *, solid: bool = False) -> None:
        self.lmax, self.solid, self.cutoff = lmax, solid, program.cutoff
        self.length = program.matrix("length", "edges", 1)
        self.filters = program.matrix("filters", "edges", (lmax + 1) ** 2, differentiable=lmax > 0)
        self.arguments = (self.length, self.filters, program.error, program.vectors)
        self.writes = (self.length, self.filters, program.error)

    @property
    def key(self) -> Hashable:
        return self.lmax, self.solid, self.cutoff

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        length, filters, error, vectors, low, high = code.arguments
        b, lanes, dim = code.build, code.width, (self.lmax + 1) ** 2
        blocks = _EdgeBlocks(code, max(dim, 3))
        cutoff, limit = (code.constant(self.cutoff * s, lanes) for s in (1.0, 1.0 + MARGIN))
        with code.loop(low, high, lanes) as first:
            vector = blocks.load(vectors, range(3), 3, first, high, convert=code.from_double)
            r, direction = _length_and_direction(code, vector)
            _set_error(code, error, b.fcmp_unordered(">=", r, limit), 2)
            _set_error(code, error, b.fcmp_ordered("==", r, code.constant(0.0, lanes)), 1)
            inside = b.select(b.fcmp_ordered("<", r, cutoff), r, cutoff)
            blocks.store([inside], length, first, high)
            arguments = vector if self.solid else direction
            values = harmonics(code, arguments, self.lmax, lanes, unit=not self.solid)
            blocks.store([value for of_degree in values for value in of_degree], filters, first, high)
        b.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        d_length = program.cotangent(self.length)
        d_filters = program.cotangent(self.filters) if self.lmax else None
        if d_length is not None or d_filters is not None:
            target, add = program.add_cotangent(program.vectors)
            program.add(_GeometryReverse(program, self, target, d_length, d_filters, add=add))


class _GeometryReverse(Operation):
    """dE/d(vector) of every edge, from the derivatives with respect to its length and its harmonics.

    With the vector v, the direction n = v/r and G = Σ_lm g_lm ∇(r^l Y_lm) at n, it is (G - n n·G) / r +
    n dE/dr. For solid harmonics it is G + n dE/dr with G at v.
    """

    over = "edges"

    def __init__(
        self,
        program: "Program",
        geometry: Geometry,
        target: Matrix,
        d_length: Matrix | None,
        d_filters: Matrix | None,
        *,
        add: bool,
    ) -> None:
        self.lmax, self.solid, self.add = geometry.lmax, geometry.solid, add
        self.has_length, self.has_filters = d_length is not None, d_filters is not None
        sources = [source for source in (d_length, d_filters) if source is not None]
        self.arguments, self.writes = (target, program.vectors, *sources), (target,)

    @property
    def key(self) -> Hashable:
        return self.lmax, self.solid, self.add, self.has_length, self.has_filters

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        target, vectors, *sources, low, high = code.arguments
        b, lanes, dim = code.build, code.width, (self.lmax + 1) ** 2
        blocks = _EdgeBlocks(code, max(dim, 3))
        with code.loop(low, high, lanes) as first:
            vector = blocks.load(vectors, range(3), 3, first, high, convert=code.from_double)
            r, direction = _length_and_direction(code, vector)
            d_r = blocks.load(sources[0], range(1), 1, first, high)[0] if self.has_length else None
            result: list[Value] = [None, None, None]
            if self.has_filters:
                at = vector if self.solid else direction
                lower = harmonics(code, at, self.lmax - 1, lanes, unit=not self.solid)
                g = blocks.load(sources[-1], range(1, dim), dim, first, high)
                result = gradient(code, lower, lambda degree, k: g[degree**2 + k - 1], self.lmax, lanes)
                if not self.solid:
                    result = [b.fdiv(value, r) for value in result]
                    along: Value = None
                    for n, value in zip(direction, result, strict=True):
                        along = code.fma(along, n, value)
                    d_r = b.fneg(along) if d_r is None else b.fsub(d_r, along)
            if d_r is not None:
                result = [code.fma(value, n, d_r) for value, n in zip(result, direction, strict=True)]
            blocks.store(result, target, first, high, convert=code.to_double, add=self.add)
        b.ret_void()
        return code.function


class _EdgeBlocks:
    """Rows of as many edges as a register has numbers, loaded and stored with one register for each column.

    Args:
        code: where the code is written.
        columns: most columns.
    """

    def __init__(self, code: VectorCode, columns: int) -> None:
        self.code, self.memory = code, code.allocate(columns * code.width)

    def load(
        self,
        table: Value,
        columns: range,
        row_length: int,
        first: Value,
        high: Value,
        *,
        convert: Callable[[Value], Value] = lambda value: value,
    ) -> list[Value]:
        """Columns of the rows from `first` on; from `high` on, row `high` - 1 is read instead."""
        code, b = self.code, self.code.build
        last = code.add_int(high, -1)
        with code.loop(I64(0), I64(code.width)) as lane:
            edge = b.add(first, lane)
            edge = b.select(b.icmp_signed("<", edge, last), edge, last)
            row = code.row_pointer(table, edge, row_length)
            for number, column in enumerate(columns):
                place = b.add(lane, I64(number * code.width))
                code.store(convert(code.load(code.offset(row, column))), code.offset(self.memory, place))
        return [code.load(code.offset(self.memory, k * code.width), code.width) for k in range(len(columns))]

    def store(
        self,
        values: list[Value],
        table: Value,
        first: Value,
        high: Value,
        *,
        convert: Callable[[Value], Value] = lambda value: value,
        add: bool = False,
    ) -> None:
        """Store, or add, all columns of the rows from `first` to `high` - 1."""
        code, b = self.code, self.code.build
        for k, value in enumerate(values):
            code.store(value, code.offset(self.memory, k * code.width), code.width)
        left = b.sub(high, first)
        count = b.select(b.icmp_signed("<", left, I64(code.width)), left, I64(code.width))
        with code.loop(I64(0), count) as lane:
            row = code.row_pointer(table, b.add(first, lane), len(values))
            for k in range(len(values)):
                source = code.offset(self.memory, b.add(lane, I64(k * code.width)))
                store_or_add(code, convert(code.load(source)), code.offset(row, k), add=add)


def _length_and_direction(code: VectorCode, vector: list[Value]) -> tuple[Value, list[Value]]:
    """Length r of vectors (x, y, z), and their components divided by it."""
    x, y, z = vector
    r = square_root(code.build, code.fma(code.fma(code.mul(x, x), y, y), z, z))
    return r, [code.build.fdiv(component, r) for component in vector]


def _set_error(code: VectorCode, error: Value, condition: Value, number: int) -> None:
    """Set the error code if a condition is true in any lane."""
    b = code.build
    lanes = ir.IntType(code.width)
    with b.if_then(b.icmp_signed("!=", b.bitcast(condition, lanes), lanes(0)), likely=False):
        b.store_atomic(I64(number), error, "monotonic", 8)  # by any thread


class KindOfPair(RowOperation):
    """Kind of every edge, a number that depends on the pair of elements, such as the index of a table.

    Args:
        program: the program.
        table: kind of each pair of species, (species, species), symmetric.

    Attributes:
        out: kind, (edges, 1), int64.
    """

    def __init__(self, program: "Program", table: np.ndarray) -> None:
        assert table.shape == (program.n_species, program.n_species), table.shape
        self.n_species = program.n_species
        out = program.matrix("kind", "edges", 1, "i", differentiable=False)
        reads = (Constant(table, "i"), program.species, program.sender, program.receiver)
        super().__init__((out,), reads, settings=self.n_species)

    def write_row(self, code: VectorCode, index: Value, pointers: Sequence[Value]) -> None:
        out, table, species, sender, receiver = pointers
        a, b = (code.load_int(species, code.load_int(end, index)) for end in (receiver, sender))
        row = code.row_pointer(table, a, self.n_species)
        code.store_int(code.load_int(row, b), out, index)
