"""PowerSpectrumRows: products of two equivariant features that are invariant under rotations."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llvmlite import ir

from symnets.native._operation import Matrix, Operation
from symnets.native._pointwise import over_rows, store_or_add
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class PowerSpectrumRows(Operation):
    """Power spectrum of two features, after the first block of the first: p_c = n^(-1/2) Σ_m a_mc b_mc.

    The sum is over the n components of each channel c.

    Args:
        program: the program.
        a: features in the `ir_mul` layout, even scalars first.
        b: features of the same irreps.
        blocks: numbers of components and of channels of each irrep.
    """

    def __init__(self, program: "Program", a: Matrix, b: Matrix, blocks: Sequence[tuple[int, int]]) -> None:
        self.a, self.b, self.blocks, self.over = a, b, tuple(blocks), over_rows(a)
        columns = blocks[0][1] + sum(channels for _, channels in blocks)
        differentiable = a.differentiable or b.differentiable
        self.out = program.matrix("spectrum", a.rows, columns, differentiable=differentiable)
        self.arguments, self.writes = (self.out, a, b), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.blocks

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        outs, *tables, low, high = code.arguments
        with code.loop(low, high) as row:
            out = code.row_pointer(outs, row, self.out.columns)
            a, b = (code.row_pointer(table, row, self.a.columns) for table in tables)
            for block in _blocks(self.blocks):

                def body(first: Value, lanes: int, block: _Block = block) -> None:
                    total = None
                    for start in block.starts:
                        column = code.add_int(first, start)
                        pair = [code.load(code.offset(x, column), lanes) for x in (a, b)]
                        total = code.fma(total, *pair)
                        if start == 0:
                            code.store(pair[0], code.offset(out, first), lanes)
                    value = code.mul(total, code.constant(block.norm, lanes))
                    code.store(value, code.offset(out, code.add_int(first, block.place)), lanes)

                code.for_channels(block.channels, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        for x, other in ((self.a, self.b), (self.b, self.a)):
            if x.differentiable:
                target, add = program.add_cotangent(x)
                program.add(_Reverse(self, target, source, other, add=add, with_first=x is self.a))


class _Reverse(Operation):
    """da_mc = n^(-1/2) dp_c b_mc, plus the cotangent of the copy of the first block."""

    def __init__(
        self,
        forward: PowerSpectrumRows,
        target: Matrix,
        source: Matrix,
        other: Matrix,
        *,
        add: bool,
        with_first: bool,
    ) -> None:
        self.blocks, self.over, self.add, self.with_first = forward.blocks, forward.over, add, with_first
        self.target, self.source = target, source
        self.arguments, self.writes = (target, source, other), (target,)

    @property
    def key(self) -> Hashable:
        return self.blocks, self.add, self.with_first

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        targets, sources, others, low, high = code.arguments
        with code.loop(low, high) as row:
            source = code.row_pointer(sources, row, self.source.columns)
            target, other = (code.row_pointer(table, row, self.target.columns) for table in (targets, others))
            for block in _blocks(self.blocks):

                def body(first: Value, lanes: int, block: _Block = block) -> None:
                    slope = code.load(code.offset(source, code.add_int(first, block.place)), lanes)
                    slope = code.mul(slope, code.constant(block.norm, lanes))
                    for start in block.starts:
                        column, value = code.add_int(first, start), None
                        if self.with_first and start == 0:
                            value = code.load(code.offset(source, first), lanes)
                        value = code.fma(value, slope, code.load(code.offset(other, column), lanes))
                        store_or_add(code, value, code.offset(target, column), lanes, add=self.add)

                code.for_channels(block.channels, body)
        code.build.ret_void()
        return code.function


class _Block(NamedTuple):
    starts: range
    """First column of each component in the features; 0 for the first block, whose copy comes first."""
    place: int
    """First column in the spectrum."""
    channels: int
    norm: float


def _blocks(blocks: Sequence[tuple[int, int]]) -> list[_Block]:
    """Blocks of an operation, given by numbers of components and of channels."""
    found, start, place = [], 0, blocks[0][1]
    for components, channels in blocks:
        end = start + components * channels
        found.append(_Block(range(start, end, channels), place, channels, components**-0.5))
        start, place = end, place + channels
    return found
