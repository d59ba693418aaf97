"""NormGateRows: features times activations of their own norms, and activations of scalars."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from llvmlite import ir

from symnets.native._math_code import Function, silu, square_root
from symnets.native._operation import Constant, Matrix, Operation
from symnets.native._pointwise import over_rows, store_or_add
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class NormGateBlock(NamedTuple):
    """Columns of one irrep."""

    components: int
    channels: int
    scalar: bool
    """Whether the entries themselves are activated, not their norm."""


class NormGateRows(Operation):
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
        self.x, self.blocks, self.eps, self.over = x, tuple(blocks), eps, over_rows(x)
        self.biases = Constant(biases)
        self.out = program.matrix("gated", x.rows, x.columns, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x, self.biases), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.blocks, self.eps

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        outs, rows, biases, low, high = code.arguments
        with code.loop(low, high) as row:
            out, x = (code.row_pointer(table, row, self.x.columns) for table in (outs, rows))
            for part in _parts(self.blocks):

                def body(first: Value, lanes: int, part: _Part = part) -> None:
                    columns = [code.add_int(first, start) for start in part.starts]
                    values = [code.load(code.offset(x, column), lanes) for column in columns]
                    _, activated = self.activate(code, part, values, biases, first, lanes)
                    for column, value in zip(columns, values, strict=True):
                        result = activated.value if part.scalar else code.mul(activated.value, value)
                        code.store(result, code.offset(out, column), lanes)

                code.for_channels(part.channels, body)
        code.build.ret_void()
        return code.function

    def activate(
        self,
        code: VectorCode,
        part: "_Part",
        values: Sequence[Value],
        biases: Value,
        first: Value,
        lanes: int,
    ) -> tuple[Value, Function]:
        """What is activated, without its bias, and η of it with its bias."""
        size = values[0]
        if not part.scalar:
            total = None
            for value in values:
                total = code.fma(total, value, value)
            mean = code.fma(
                code.constant(self.eps**2, lanes), total, code.constant(1 / len(part.starts), lanes)
            )
            size = square_root(code.build, mean)
        bias = code.load(code.offset(biases, code.add_int(first, part.bias)), lanes)
        return size, silu(code.build, code.build.fadd(size, bias))

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if self.x.differentiable:
            target, add = program.add_cotangent(self.x)
            program.add(_NormGateReverse(self, target, source, add=add))


class _NormGateReverse(Operation):
    """dx_mc = η(r_c + b_c) dy_mc + η'(r_c + b_c) x_mc / (n r_c) Σ_k x_kc dy_kc, and η'(x_c + b_c) dy_c."""

    def __init__(self, forward: NormGateRows, target: Matrix, source: Matrix, *, add: bool) -> None:
        self.forward, self.over, self.add = forward, forward.over, add
        self.arguments, self.writes = (target, source, forward.x, forward.biases), (target,)

    @property
    def key(self) -> Hashable:
        return self.forward.key, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        *tables, biases, low, high = code.arguments
        with code.loop(low, high) as row:
            target, source, x = (code.row_pointer(table, row, self.forward.x.columns) for table in tables)
            for part in _parts(self.forward.blocks):

                def body(first: Value, lanes: int, part: _Part = part) -> None:
                    columns = [code.add_int(first, start) for start in part.starts]
                    values, slopes = (
                        [code.load(code.offset(table, column), lanes) for column in columns]
                        for table in (x, source)
                    )
                    size, activated = self.forward.activate(code, part, values, biases, first, lanes)
                    if part.scalar:
                        results = [code.mul(activated.derivative, slopes[0])]
                    else:
                        total = None
                        for value, slope in zip(values, slopes, strict=True):
                            total = code.fma(total, value, slope)
                        inverse = code.build.fdiv(code.constant(1 / len(values), lanes), size)
                        along = code.mul(code.mul(activated.derivative, inverse), total)
                        results = [
                            code.fma(code.mul(activated.value, slope), along, value)
                            for value, slope in zip(values, slopes, strict=True)
                        ]
                    for column, result in zip(columns, results, strict=True):
                        store_or_add(code, result, code.offset(target, column), lanes, add=self.add)

                code.for_channels(part.channels, body)
        code.build.ret_void()
        return code.function


class _Part(NamedTuple):
    starts: range
    """First column of each component."""
    bias: int
    """Number of the first bias."""
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
