"""Linear maps of the channels of rows: one matrix for all atoms, or one for each species."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from symnets.native._linear_code import PANEL, TILE_ROWS, pack, packed_columns, tile_function
from symnets.native._operation import CannotLower, Constant, Matrix, Operation
from symnets.native._program import Program
from symnets.ops import I64, Value, VectorCode


class Channels(NamedTuple):
    """Columns of a row that belong to one irrep: `dim` components of `width` channels each, from `start`."""

    start: int
    dim: int
    width: int


class Term(NamedTuple):
    """Part of a linear map: out[m, c] += Σ_c' x[m, c'] W[s, c', c] for every component m and species s."""

    source: int
    """Number of the input's channels x."""
    target: int
    """Number of the output's channels."""
    weights: np.ndarray
    """(species, channels of the source, channels of the target), with 1 species if all have the same."""


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
    terms: Sequence[Term],
    bias: Mapping[int, np.ndarray] | None = None,
) -> Matrix:
    """Append a linear map of the rows of x, and return its result.

    Args:
        program: program that x belongs to.
        x: a matrix of atoms or edges that is no lookup: `program.lookup(layer(x.table))` needs no code.
        sources: channels of all columns of x.
        targets: channels of all columns of the result; those in no term are zero.
        terms: what is added up; their weights are real numbers.
        bias: constants that are added to targets of dimension 1, by their number.
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
    term = Term(0, 0, weights.double().numpy()[None])
    return linear(program, x, [Channels(0, 1, n)], [Channels(0, 1, m)], [term])


class LinearMap(Operation):
    """Linear map of the channels of each row, see `linear`.

    Args:
        out: matrix to write; by default a new one.
        add: whether to add to what is in `out`.
    """

    def __init__(
        self,
        program: Program,
        x: Matrix,
        sources: Sequence[Channels],
        targets: Sequence[Channels],
        terms: Sequence[Term],
        bias: Mapping[int, np.ndarray],
        *,
        out: Matrix | None = None,
        add: bool = False,
    ) -> None:
        if x.kind != "r":
            raise CannotLower(f"a linear map of {x.name}, which is not in the program's dtype")
        self.x, self.sources, self.targets, self.add = x, tuple(sources), tuple(targets), add
        self.terms = sorted(terms, key=lambda term: term.target)
        self.bias = dict(bias)
        assert sum(c.dim * c.width for c in sources) == x.columns, (x.name, sources)
        columns = sum(c.dim * c.width for c in targets)
        if out is None:
            out = program.matrix("linear", x.rows, columns, differentiable=x.differentiable)
        assert out.columns == columns, (out.name, targets)
        self.out = out
        self.over = "edges" if x.rows == "edges" else "local"
        self.n_species = max((len(term.weights) for term in terms), default=1)
        self.writes = (self.out,)
        self.arguments = (self.out, x, Constant(self._packed()))
        if self.n_species > 1:
            self.arguments += (program.species_order, program.species_start)

    @property
    def key(self) -> Hashable:
        pairs = tuple((term.source, term.target) for term in self.terms)
        return self.sources, self.targets, pairs, tuple(sorted(self.bias)), self.n_species, self.add

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
        out, x, weights, *order, low, high = code.arguments
        height = TILE_ROWS[dtype]
        n_terms = 1 + max([0, *(self._n_terms(number) for number in range(len(self.targets)))])
        kinds = (n_terms, n_terms * height, height)
        lengths, rows, outputs = (code.build.alloca(I64, n) for n in kinds)
        one = code.allocate(1)
        code.store(code.constant(1.0), one)
        memory = _Memory(
            code, lengths, rows, outputs, one, code.build.ptrtoint(out, I64), code.build.ptrtoint(x, I64)
        )
        if self.n_species == 1:
            self._write_targets(module, dtype, memory, weights, None, low, high)
        else:
            order, start = order
            size = self._packed().size // self.n_species
            with code.loop(I64(0), I64(self.n_species)) as s:
                first, last = (code.load_int(start, code.add_int(s, k)) for k in (0, 1))
                first = code.build.select(code.build.icmp_signed(">", low, first), low, first)
                last = code.build.select(code.build.icmp_signed("<", high, last), high, last)
                matrices = code.row_pointer(weights, s, size)
                self._write_targets(module, dtype, memory, matrices, order, first, last)
        code.build.ret_void()
        return code.function

    def _n_terms(self, target: int) -> int:
        return sum(term.target == target for term in self.terms)

    def _write_targets(
        self,
        module: ir.Module,
        dtype: str,
        memory: "_Memory",
        weights: Value,
        order: Value | None,
        low: Value,
        high: Value,
    ) -> None:
        """Write the code of all targets for nodes low to high - 1, or for these positions in `order`."""
        code, b, height = memory.code, memory.code.build, TILE_ROWS[dtype]
        offset = 0
        for number, target in enumerate(self.targets):
            sources = [self.sources[term.source] for term in self.terms if term.target == number]
            biased = number in self.bias
            if not sources and not biased and self.add:
                continue
            widths = [source.width for source in sources] + [1] * biased
            for t, width in enumerate(widths):
                code.store_int(I64(width), memory.lengths, I64(t))
            panels, tail = divmod(target.width, PANEL)
            tile = tile_function(module, dtype, tail)
            matrices = code.offset(weights, offset)
            offset += sum(widths) * packed_columns(target.width)
            last = b.mul(high, I64(target.dim))

            # Rows of a tile are components of one node or several. The last two tiles have equal heights.
            before = b.block
            head, body, after = (b.append_basic_block() for _ in range(3))
            first = b.mul(low, I64(target.dim))
            b.branch(head)
            b.position_at_end(head)
            row = b.phi(I64)
            row.add_incoming(first, before)
            left = b.sub(last, row)
            b.cbranch(b.icmp_signed(">", left, I64(0)), body, after)
            b.position_at_end(body)
            half = b.ashr(code.add_int(left, 1), I64(1))
            rows = b.select(b.icmp_signed(">", left, I64(height)), half, left)
            rows = b.select(b.icmp_signed(">=", left, I64(2 * height)), I64(height), rows)
            with code.loop(I64(0), rows) as r:
                index = b.add(row, r)
                node = b.udiv(index, I64(target.dim))
                component = b.sub(index, b.mul(node, I64(target.dim)))
                if order is not None:
                    node = code.load_int(order, node)
                for t, source in enumerate(sources):
                    address = memory.address(memory.x, node, self.x.columns, component, source)
                    code.store_int(address, memory.rows, code.add_int(r, t * height))
                if biased:
                    address = b.ptrtoint(memory.one, I64)
                    code.store_int(address, memory.rows, code.add_int(r, len(sources) * height))
                address = memory.address(memory.out, node, self.out.columns, component, target)
                code.store_int(address, memory.outputs, r)
            b.call(
                tile,
                [
                    rows,
                    memory.rows,
                    memory.lengths,
                    I64(len(widths)),
                    matrices,
                    memory.outputs,
                    memory.outputs,
                    I64(self.add),
                    I64(panels),
                ],
            )
            row.add_incoming(b.add(row, rows), b.block)
            b.branch(head)
            b.position_at_end(after)

    def reverse(self, program: Program) -> None:
        if not self.x.differentiable:
            return
        cotangent = program.cotangent(self.out)
        assert cotangent is not None
        terms = [Term(t.target, t.source, t.weights.swapaxes(1, 2)) for t in self.terms]
        target, add = program.add_cotangent(self.x)
        program.add(LinearMap(program, cotangent, self.targets, self.sources, terms, {}, out=target, add=add))


class _Memory(NamedTuple):
    """Arrays on the stack that tell a tile where its rows are, and addresses of the matrices."""

    code: VectorCode
    lengths: Value
    rows: Value
    outputs: Value
    one: Value
    out: Value
    x: Value

    def address(self, base: Value, node: Value, columns: int, component: Value, channels: Channels) -> Value:
        """Address of a component of a node's channels."""
        b = self.code.build
        column = b.add(I64(channels.start), b.mul(component, I64(channels.width)))
        number = b.add(b.mul(node, I64(columns)), column)
        return b.add(base, b.mul(number, I64(self.code.size)))
