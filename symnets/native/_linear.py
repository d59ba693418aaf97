"""Linear maps of the channels of rows: one matrix for all atoms, or one for each species."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from symnets.native._linear_code import PANEL, TILE_ROWS, pack, packed_columns, prefetch, tile_function
from symnets.native._operation import CannotLower, Constant, Matrix, Operation
from symnets.native._program import Program
from symnets.ops import I64, Value, VectorCode

LINE = 64
"""Bytes of a cache line."""
CACHE = 2**18
"""Bytes of rows above which the next rows are prefetched into the cache while others are computed."""


class Channels(NamedTuple):
    """Columns of a row that belong to one irrep: `dim` components of `width` channels each, from `start`."""

    start: int
    dim: int
    width: int


class LinearTerm(NamedTuple):
    """Term of a linear map: out[m, c] += Σ_c' x[m, c'] W[s, c', c] for every component m and species s."""

    source: int
    """Index of the channels x in the list of sources."""
    target: int
    """Index of the channels out in the list of targets."""
    weights: np.ndarray
    """W, (species, channels of the source, channels of the target), or (1, ...) if all species share it."""


def irrep_channels(irreps: Any) -> list[Channels]:
    """Channels of each entry of e3nn's `Irreps` in the `ir_mul` layout."""
    return [
        Channels(columns.start, ir.dim, mul)
        for columns, (mul, ir) in zip(irreps.slices(), irreps, strict=True)
    ]


def linear(
    program: Program,
    x: Matrix,
    sources: Sequence[Channels],
    targets: Sequence[Channels],
    terms: Sequence[LinearTerm],
    bias: Mapping[int, np.ndarray] | None = None,
) -> Matrix:
    """Append a linear map of the rows of x, and return its result.

    Args:
        program: program that x belongs to.
        x: a matrix of atoms or edges that is no lookup. For a lookup use `program.lookup(layer(x.table))`.
        sources: channels of all columns of x.
        targets: channels of all columns of the result; those in no term are zero.
        terms: terms of the map, which are added up.
        bias: constants that are added to targets of dimension 1, by index of the target.
    """
    operation = LinearMap(program, x, sources, targets, terms, bias or {})
    program.add(operation)
    return operation.out


def matrix_product(program: Program, x: Matrix, weights: Any) -> Matrix:
    """x @ weights, for a tensor of weights (columns of x, columns of the result)."""
    weights = weights.detach()
    if x.table is not None:
        return program.lookup(x.table @ weights)
    n, m = weights.shape
    term = LinearTerm(0, 0, weights.double().numpy()[None])
    return linear(program, x, [Channels(0, 1, n)], [Channels(0, 1, m)], [term])


class LinearMap(Operation):
    """Linear map of the channels of each row, see `linear`.

    Args:
        out: matrix to write; by default a new one.
        initial: matrix to which the result is added; it may be `out`, which is then changed in place.
    """

    def __init__(
        self,
        program: Program,
        x: Matrix,
        sources: Sequence[Channels],
        targets: Sequence[Channels],
        terms: Sequence[LinearTerm],
        bias: Mapping[int, np.ndarray],
        *,
        out: Matrix | None = None,
        initial: Matrix | None = None,
    ) -> None:
        if x.kind != "r":
            raise CannotLower(f"linear map: expected numbers in the dtype of the program, got {x.name}")
        self.x, self.sources, self.targets = x, tuple(sources), tuple(targets)
        self.terms = sorted(terms, key=lambda term: term.target)
        self.bias = dict(bias)
        assert sum(c.dim * c.width for c in sources) == x.columns, (x.name, sources)
        columns = sum(c.dim * c.width for c in targets)
        self.over = "edges" if x.rows == "edges" else "local"
        self.n_species = max((len(term.weights) for term in terms), default=1)
        self.weights = Constant(self._packed())
        self.order = (program.species_order, program.species_start) if self.n_species > 1 else ()
        self._write_to(
            out or program.matrix("linear", x.rows, columns, differentiable=x.differentiable), initial
        )
        assert self.out.columns == columns, (self.out.name, targets)

    def _write_to(self, out: Matrix, initial: Matrix | None) -> None:
        self.out, self.initial, self.writes = out, initial, (out,)
        others = () if initial in (None, out, self.x) else (initial,)
        self.arguments = (out, self.x, self.weights, *self.order, *others)

    def plus(self, program: Program, other: Matrix) -> Matrix | None:
        if self.initial is not None or (other.rows, other.kind) != (self.out.rows, "r"):
            return None
        differentiable = self.out.differentiable or other.differentiable
        total = program.matrix("sum", other.rows, other.columns, differentiable=differentiable)
        self._write_to(total, other)
        return total

    @property
    def key(self) -> Hashable:
        pairs = tuple((term.source, term.target) for term in self.terms)
        place = None if self.initial is None else (self.initial is self.out, self.initial is self.x)
        return self.sources, self.targets, pairs, tuple(sorted(self.bias)), self.n_species, place

    def _packed(self) -> np.ndarray:
        """Weights and biases of each species and target in the order in which the code reads them."""
        parts = [np.zeros(0)]
        for s in range(self.n_species):
            for number, target in enumerate(self.targets):
                matrices = [t.weights[s % len(t.weights)] for t in self.terms if t.target == number]
                if number in self.bias:
                    matrices.append(self.bias[number].reshape(1, target.width))
                if matrices:
                    parts.append(pack(np.concatenate(matrices)))
        return np.concatenate(parts)

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *_, low, high = code.arguments
        pointers = dict(zip(self.arguments, code.arguments, strict=False))
        rows = _Rows(code, self, pointers)
        weights = pointers[self.weights]
        if self.n_species == 1:
            self._write_targets(module, rows, weights, None, low, high)
        else:
            order, start = (pointers[matrix] for matrix in self.order)
            size = self.weights.values.size // self.n_species
            with code.loop(I64(0), I64(self.n_species)) as s:
                first, last = (code.load_int(start, code.add_int(s, k)) for k in (0, 1))
                first = code.build.select(code.build.icmp_signed(">", low, first), low, first)
                last = code.build.select(code.build.icmp_signed("<", high, last), high, last)
                self._write_targets(module, rows, code.row_pointer(weights, s, size), order, first, last)
        code.build.ret_void()
        return code.function

    def _write_targets(
        self, module: ir.Module, rows: "_Rows", weights: Value, order: Value | None, low: Value, high: Value
    ) -> None:
        """Write the code of all targets for nodes low to high - 1, or for these positions in `order`."""
        offset = 0
        for number, target in enumerate(self.targets):
            sources = [self.sources[term.source] for term in self.terms if term.target == number]
            biased = number in self.bias
            if not sources and not biased and self.initial is self.out:
                continue
            matrices = rows.code.offset(weights, offset)
            rows.write(module, sources, target, matrices, order, low, high, biased=biased)
            offset += (sum(source.width for source in sources) + biased) * packed_columns(target.width)

    def reverse(self, program: Program) -> None:
        cotangent = program.require_cotangent(self.out)
        if self.initial is not None and self.initial.differentiable:
            program.share_cotangent(self.initial, cotangent)
        if not self.x.differentiable:
            return
        terms = [LinearTerm(t.target, t.source, t.weights.swapaxes(1, 2)) for t in self.terms]
        out, initial = program.extend_cotangent(self.x)
        program.add(
            LinearMap(program, cotangent, self.targets, self.sources, terms, {}, out=out, initial=initial)
        )


class _Rows:
    """Writer of the loops over rows of the operation's matrices, a tile at a time.

    Args:
        code: the operation's function.
        operation: the operation.
        pointers: addresses of its matrices.
    """

    def __init__(
        self, code: VectorCode, operation: LinearMap, pointers: Mapping[Matrix | Constant, Value]
    ) -> None:
        self.code, self.dtype = code, "float64" if code.size == 8 else "float32"
        b, x, out, initial = code.build, operation.x, operation.out, operation.initial
        self.x, self.x_columns = b.ptrtoint(pointers[x], I64), x.columns
        self.out, self.out_columns = b.ptrtoint(pointers[out], I64), out.columns
        self.initial = None if initial is None else b.ptrtoint(pointers[initial], I64)
        # Arrays on the stack with the addresses of the rows of a tile.
        counts = [sum(term.target == n for term in operation.terms) for n in range(len(operation.targets))]
        n_terms = max(counts, default=0) + 1
        self.lengths = b.alloca(I64, n_terms)
        self.rows = b.alloca(I64, n_terms * TILE_ROWS)
        self.outputs = b.alloca(I64, TILE_ROWS)
        self.initials = b.alloca(I64, TILE_ROWS) if initial not in (None, out) else self.outputs
        one = code.allocate(1)
        code.store(code.constant(1.0), one)
        self.one = b.ptrtoint(one, I64)

    def write(
        self,
        module: ir.Module,
        sources: Sequence[Channels],
        target: Channels,
        weights: Value,
        order: Value | None,
        low: Value,
        high: Value,
        *,
        biased: bool,
    ) -> None:
        """Write the loop over the components of a target of nodes low to high - 1."""
        code, b = self.code, self.code.build
        widths = [source.width for source in sources] + [1] * biased
        for t, width in enumerate(widths):
            code.store_int(I64(width), self.lengths, I64(t))
        tile = tile_function(module, self.dtype, target.width)
        first, last = (b.mul(n, I64(target.dim)) for n in (low, high))
        row_bytes = (self.x_columns + self.out_columns) * code.size
        is_large = b.icmp_signed(">", b.mul(b.sub(high, low), I64(row_bytes)), I64(CACHE))

        before = b.block
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        row = b.phi(I64)
        row.add_incoming(first, before)
        left = b.sub(last, row)
        b.cbranch(b.icmp_signed(">", left, I64(0)), body, after)
        b.position_at_end(body)
        # Rows of a tile are components of one node or of several. The last two tiles are equally high.
        half = b.ashr(code.add_int(left, 1), I64(1))
        n_rows = b.select(b.icmp_signed(">", left, I64(TILE_ROWS)), half, left)
        n_rows = b.select(b.icmp_signed(">=", left, I64(2 * TILE_ROWS)), I64(TILE_ROWS), n_rows)
        with code.loop(I64(0), n_rows) as r:
            index = b.add(row, r)
            place = self._place(index, target.dim, order)
            for t, source in enumerate(sources):
                address = self._address(self.x, place, self.x_columns, source)
                code.store_int(address, self.rows, code.add_int(r, t * TILE_ROWS))
            if biased:
                code.store_int(self.one, self.rows, code.add_int(r, len(sources) * TILE_ROWS))
            address = self._address(self.out, place, self.out_columns, target)
            code.store_int(address, self.outputs, r)
            if self.initials is not self.outputs:
                address = self._address(self.initial, place, self.out_columns, target)
                code.store_int(address, self.initials, r)
            ahead = code.add_int(index, TILE_ROWS)
            with b.if_then(b.and_(is_large, b.icmp_signed("<", ahead, last))):
                place = self._place(ahead, target.dim, order)
                for source in sources:
                    self._prefetch(self._address(self.x, place, self.x_columns, source), source.width)
                for base in dict.fromkeys(base for base in (self.out, self.initial) if base is not None):
                    self._prefetch(self._address(base, place, self.out_columns, target), target.width)
        arrays = self.rows, self.lengths, I64(len(widths)), weights, self.outputs, self.initials
        b.call(tile, [n_rows, *arrays, I64(int(self.initial is not None)), I64(target.width // PANEL)])
        row.add_incoming(b.add(row, n_rows), b.block)
        b.branch(head)
        b.position_at_end(after)

    def _place(self, index: Value, dim: int, order: Value | None) -> tuple[Value, Value]:
        """Node and component of a row, counted from the first component of the first node."""
        b = self.code.build
        node = b.udiv(index, I64(dim))
        component = b.sub(index, b.mul(node, I64(dim)))
        return node if order is None else self.code.load_int(order, node), component

    def _address(self, base: Value, place: tuple[Value, Value], columns: int, channels: Channels) -> Value:
        """Address of a component of a node's channels."""
        b, (node, component) = self.code.build, place
        column = b.add(I64(channels.start), b.mul(component, I64(channels.width)))
        number = b.add(b.mul(node, I64(columns)), column)
        return b.add(base, b.mul(number, I64(self.code.size)))

    def _prefetch(self, address: Value, width: int) -> None:
        """Prefetch numbers that are needed soon into the cache."""
        b = self.code.build
        with self.code.loop(I64(0), I64(width * self.code.size), LINE) as offset:
            prefetch(self.code, b.inttoptr(b.add(address, offset), ir.IntType(8).as_pointer()))
