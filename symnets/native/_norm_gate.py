"""NormGateRows: features times activations of their own norms, and activations of scalars."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from symnets.native._math_code import Function, silu, square_root
from symnets.native._operation import Constant, Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation, RowReverse
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class NormGateBlock(NamedTuple):
    """Columns of one irrep of the features of `NormGateRows`."""

    components: int
    channels: int
    scalar: bool
    """Whether the entries themselves are activated, not their norm."""


class NormGateRows(RowOperation):
    """Activated scalars, and other features times the activations of their norms:

        y_c = η(x_c + b_c),     y_mc = η(r_c + b_c) x_mc,     r_c = (Σ_m x_mc² / n + ε²)^(1/2),

    with η = silu and the n components x_mc of channel c.

    Args:
        program: the program.
        x: features in the `ir_mul` layout.
        blocks: all irreps of x.
        biases: b of all channels, block by block.
        eps: ε.
    """

    def __init__(
        self, program: "Program", x: Matrix, blocks: Sequence[NormGateBlock], biases: np.ndarray, eps: float
    ) -> None:
        self.x, self.parts, self.eps, self.biases = x, _parts(blocks), eps, Constant(biases)
        out = program.matrix("gated", x.rows, x.columns, differentiable=x.differentiable)
        super().__init__((out,), (x, self.biases), settings=(tuple(blocks), eps))

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.parts, self._write_block)

    def _write_block(self, part: "_Part", code: VectorCode, lanes: Lanes) -> None:
        values = [lanes.load(self.x, start) for start in part.starts]
        _, activated = self.activate(code, lanes, part, values)
        for start, value in zip(part.starts, values, strict=True):
            lanes.store(activated.value if part.scalar else code.mul(activated.value, value), self.out, start)

    def activate(
        self, code: VectorCode, lanes: Lanes, part: "_Part", values: Sequence[Value]
    ) -> tuple[Value, Function]:
        """The scalar x_c or the norm r_c, without the bias, and η and η' at its sum with the bias."""
        size = values[0]
        if not part.scalar:
            total = None
            for value in values:
                total = code.fma(total, value, value)
            mean = code.fma(lanes.constant(self.eps**2), total, lanes.constant(1 / len(part.starts)))
            size = square_root(code.build, mean)
        bias = lanes.load(self.biases, part.bias)
        return size, silu(code.build, code.build.fadd(size, bias))

    def reverse(self, program: "Program") -> None:
        if self.x.differentiable:
            program.add(_NormGateReverse(program, self, self.x, self.x, self.biases))


class _NormGateReverse(RowReverse[NormGateRows]):
    """dx_mc = η(r_c + b_c) dy_mc + η'(r_c + b_c) x_mc / (n r_c) Σ_k x_kc dy_kc, and η'(x_c + b_c) dy_c."""

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.forward.parts, self._write_block)

    def _write_block(self, part: "_Part", code: VectorCode, lanes: Lanes) -> None:
        values, slopes = (
            [lanes.load(matrix, start) for start in part.starts] for matrix in (self.forward.x, self.dy)
        )
        size, activated = self.forward.activate(code, lanes, part, values)
        if part.scalar:
            results = [code.mul(activated.derivative, slopes[0])]
        else:
            total = None
            for value, slope in zip(values, slopes, strict=True):
                total = code.fma(total, value, slope)
            inverse = code.build.fdiv(lanes.constant(1 / len(values)), size)
            along = code.mul(code.mul(activated.derivative, inverse), total)
            results = [
                code.fma(code.mul(activated.value, slope), along, value)
                for value, slope in zip(values, slopes, strict=True)
            ]
        for start, result in zip(part.starts, results, strict=True):
            lanes.store(result, self.dx, start)


class _Part(NamedTuple):
    """Where a block of `NormGateRows` is in a row."""

    starts: range
    """First column of each component."""
    bias: int
    """Index of the first bias."""
    channels: int
    scalar: bool


def _parts(blocks: Iterable[NormGateBlock]) -> list[_Part]:
    """Where the blocks of a row are."""
    parts, start, bias = [], 0, 0
    for components, channels, scalar in blocks:
        end = start + components * channels
        parts.append(_Part(range(start, end, channels), bias, channels, scalar))
        start, bias = end, bias + channels
    return parts
