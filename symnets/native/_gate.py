"""GateRows: the gated nonlinearity of equivariant features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from symnets.native._math_code import ACTIVATIONS, Function
from symnets.native._operation import Matrix
from symnets.native._row_operation import Lanes, Row, RowOperation, RowReverse
from symnets.ops import VectorCode

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
    """c, by which φ is multiplied."""

    @property
    def starts(self) -> list[tuple[int, int]]:
        """First column of each component in the input and in the output."""
        steps = [m * self.channels for m in range(self.components)]
        return [(self.start_in + step, self.start_out + step) for step in steps]

    @property
    def activated(self) -> int:
        """First column in the input of what is activated, the scalars or the gates."""
        return self.start_in if self.gates is None else self.gates


class GateRows(RowOperation):
    """Gated features: c φ(x_k) for scalars x_k, and c φ(g_k) x_mk for other channels with their gates g_k.

    Args:
        program: the program.
        x: features in the `ir_mul` layout.
        columns: number of columns of the result.
        blocks: the irreps of the result.
    """

    def __init__(self, program: "Program", x: Matrix, columns: int, blocks: Sequence[GateBlock]) -> None:
        self.x, self.blocks = x, tuple(blocks)
        out = program.matrix("gated", x.rows, columns, differentiable=x.differentiable)
        super().__init__((out,), (x,), settings=self.blocks)

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.blocks, self._write_block)

    def _write_block(self, block: GateBlock, code: VectorCode, lanes: Lanes) -> None:
        of_argument = _activate(block, code, lanes, self.x)
        factor = code.mul(of_argument.value, lanes.constant(block.factor))
        for start_in, start_out in block.starts:
            is_scalar = block.gates is None
            value = factor if is_scalar else code.mul(factor, lanes.load(self.x, start_in))
            lanes.store(value, self.out, start_out)

    def reverse(self, program: "Program") -> None:
        if self.x.differentiable:
            program.add(_GateReverse(program, self, self.x, self.x))


class _GateReverse(RowReverse[GateRows]):
    """dx_k = c φ'(x_k) dy_k; dx_mk = c φ(g_k) dy_mk and dg_k = c φ'(g_k) Σ_m x_mk dy_mk."""

    def write_channels(self, row: Row) -> None:
        row.for_blocks(self.forward.blocks, self._write_block)

    def _write_block(self, block: GateBlock, code: VectorCode, lanes: Lanes) -> None:
        of_argument = _activate(block, code, lanes, self.forward.x)
        value, slope = (code.mul(part, lanes.constant(block.factor)) for part in of_argument)
        total = None
        for start_in, start_out in block.starts:
            dy = lanes.load(self.dy, start_out)
            if block.gates is None:
                total = dy
            else:
                total = code.fma(total, dy, lanes.load(self.forward.x, start_in))
                lanes.store(code.mul(value, dy), self.dx, start_in)
        lanes.store(code.mul(slope, total), self.dx, block.activated)


def _activate(block: GateBlock, code: VectorCode, lanes: Lanes, x: Matrix) -> Function:
    """φ and φ' of the scalars of a block, or of its gates."""
    return ACTIVATIONS[block.activation](code.build, lanes.load(x, block.activated))
