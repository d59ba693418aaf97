"""GateRows: the gated nonlinearity of equivariant features."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llvmlite import ir

from symnets.native._math_code import ACTIVATIONS
from symnets.native._operation import Matrix, Operation
from symnets.native._pointwise import over_rows, store_or_add
from symnets.ops import Value, VectorCode

if TYPE_CHECKING:
    from symnets.native._program import Program


class GateBlock(NamedTuple):
    """Columns of one irrep of the output of a gate."""

    start_in: int
    """First column of the irrep in the input."""
    start_out: int
    """First column in the output."""
    channels: int
    components: int
    """2l + 1."""
    gates: int | None
    """First column of the gates in the input; None for scalars, which are activated themselves."""
    activation: str
    """Name of φ, see `activation_name`."""
    factor: float
    """Factor c of c φ."""


class GateRows(Operation):
    """Gated features: c φ(x_k) for scalars x_k, and c φ(g_k) x_mk for other channels with their gates g_k.

    Args:
        program: the program.
        x: features in the `ir_mul` layout.
        columns: number of columns of the result.
        blocks: the irreps of the result.
    """

    def __init__(self, program: "Program", x: Matrix, columns: int, blocks: Sequence[GateBlock]) -> None:
        self.x, self.blocks, self.over = x, tuple(blocks), over_rows(x)
        self.out = program.matrix("gated", x.rows, columns, differentiable=x.differentiable)
        self.arguments, self.writes = (self.out, x), (self.out,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.out.columns, self.blocks

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        outs, rows, low, high = code.arguments
        with code.loop(low, high) as row:
            out = code.row_pointer(outs, row, self.out.columns)
            x = code.row_pointer(rows, row, self.x.columns)
            for block in self.blocks:

                def body(first: Value, lanes: int, block: GateBlock = block) -> None:
                    activated, channels = _columns(code, block, first, x, out)
                    argument = code.load(activated, lanes)
                    of_argument = ACTIVATIONS[block.activation](code.build, argument)
                    factor = code.mul(of_argument.value, code.constant(block.factor, lanes))
                    for source, target in channels:
                        value = factor
                        if block.gates is not None:
                            value = code.mul(factor, code.load(source, lanes))
                        code.store(value, target, lanes)

                code.for_channels(block.channels, body)
        code.build.ret_void()
        return code.function

    def reverse(self, program: "Program") -> None:
        source = program.cotangent(self.out)
        assert source is not None
        if self.x.differentiable:
            target, add = program.add_cotangent(self.x)
            program.add(_GateReverse(self, target, source, add=add))


class _GateReverse(Operation):
    """dx_k = c φ'(x_k) dy_k; dx_mk = c φ(g_k) dy_mk and dg_k = c φ'(g_k) Σ_m x_mk dy_mk."""

    def __init__(self, forward: GateRows, target: Matrix, source: Matrix, *, add: bool) -> None:
        self.blocks, self.over, self.add = forward.blocks, forward.over, add
        self.source, self.x = source, forward.x
        self.arguments, self.writes = (target, source, forward.x), (target,)

    @property
    def key(self) -> Hashable:
        return self.x.columns, self.source.columns, self.blocks, self.add

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        code = VectorCode(module, name, dtype, self.kinds, public=False)
        targets, sources, rows, low, high = code.arguments
        with code.loop(low, high) as row:
            target, x = (code.row_pointer(table, row, self.x.columns) for table in (targets, rows))
            source = code.row_pointer(sources, row, self.source.columns)
            for block in self.blocks:

                def body(first: Value, lanes: int, block: GateBlock = block) -> None:
                    activated, of_x = _columns(code, block, first, x, source)
                    place, of_target = _columns(code, block, first, target, source)
                    of_argument = ACTIVATIONS[block.activation](code.build, code.load(activated, lanes))
                    value, slope = (
                        code.mul(part, code.constant(block.factor, lanes)) for part in of_argument
                    )
                    total = None
                    for (x_m, dy_m), (dx_m, _) in zip(of_x, of_target, strict=True):
                        dy = code.load(dy_m, lanes)
                        if block.gates is None:
                            total = dy
                        else:
                            total = code.fma(total, dy, code.load(x_m, lanes))
                            store_or_add(code, code.mul(value, dy), dx_m, lanes, add=self.add)
                    store_or_add(code, code.mul(slope, total), place, lanes, add=self.add)

                code.for_channels(block.channels, body)
        code.build.ret_void()
        return code.function


def _columns(
    code: VectorCode, block: GateBlock, first: Value, x: Value, y: Value
) -> tuple[Value, list[tuple[Value, Value]]]:
    """Pointers to what is activated in a row x, and to each component of x and of an output row y."""
    starts = [
        (block.start_in + m * block.channels, block.start_out + m * block.channels)
        for m in range(block.components)
    ]
    pairs = [
        (code.offset(x, code.add_int(first, a)), code.offset(y, code.add_int(first, b))) for a, b in starts
    ]
    if block.gates is None:
        return pairs[0][0], pairs
    return code.offset(x, code.add_int(first, block.gates)), pairs
