"""PowerSpectrumRows: rotation-invariant products of two equivariant features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from symnets.native._operation import Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation, RowReverse
from symnets.ops import VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class PowerSpectrumRows(RowOperation):
    """Power spectrum of two features a and b, preceded by a copy of the first block of a.

    The power spectrum of an irrep and channel c is p_c = n^(-1/2) Σ_m a_mc b_mc, a sum over the n components.

    Args:
        program: the program.
        a: features in the `ir_mul` layout; the first block contains the even scalars.
        b: features of the same irreps.
        blocks: numbers of components and of channels of each irrep.
    """

    def __init__(self, program: "Program", a: Matrix, b: Matrix, blocks: Sequence[tuple[int, int]]) -> None:
        self.a, self.b, self.blocks = a, b, _blocks(blocks)
        columns = blocks[0][1] + sum(channels for _, channels in blocks)
        differentiable = a.differentiable or b.differentiable
        out = program.matrix("spectrum", a.rows, columns, differentiable=differentiable)
        super().__init__((out,), (a, b), settings=tuple(blocks))

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.blocks, self._write_block)

    def _write_block(self, block: "_Block", code: VectorCode, lanes: Lanes) -> None:
        total = None
        for start in block.starts:
            a, b = lanes.load(self.a, start), lanes.load(self.b, start)
            total = code.fma(total, a, b)
            if start == 0:
                lanes.store(a, self.out)
        lanes.store(code.mul(total, lanes.constant(block.norm)), self.out, block.place)

    def reverse(self, program: "Program") -> None:
        for x, other in ((self.a, self.b), (self.b, self.a)):
            if x.differentiable:
                program.add(_Reverse(program, self, x, other))


class _Reverse(RowReverse[PowerSpectrumRows]):
    """da_mc = n^(-1/2) dp_c b_mc, plus the cotangent of the copy of the first block, if a was copied."""

    def __init__(self, program: "Program", forward: PowerSpectrumRows, x: Matrix, other: Matrix) -> None:
        self.other, self.copied = other, x is forward.a
        super().__init__(program, forward, x, other, settings=self.copied)

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.forward.blocks, self._write_block)

    def _write_block(self, block: "_Block", code: VectorCode, lanes: Lanes) -> None:
        slope = code.mul(lanes.load(self.dy, block.place), lanes.constant(block.norm))
        for start in block.starts:
            copied = lanes.load(self.dy) if self.copied and start == 0 else None
            lanes.store(code.fma(copied, slope, lanes.load(self.other, start)), self.dx, start)


class _Block(NamedTuple):
    """Where an irrep is in the rows of `PowerSpectrumRows`."""

    starts: range
    """First column of each component in the features; 0 for the first block, whose copy comes first."""
    place: int
    """First column in the spectrum."""
    channels: int
    norm: float
    """n^(-1/2) for n components."""


def _blocks(blocks: Sequence[tuple[int, int]]) -> list[_Block]:
    """Blocks of an operation, given by numbers of components and of channels."""
    result, start, place = [], 0, blocks[0][1]
    for components, channels in blocks:
        end = start + components * channels
        result.append(_Block(range(start, end, channels), place, channels, components**-0.5))
        start, place = end, place + channels
    return result
