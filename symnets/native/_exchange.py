"""Exchange: copies of features to ghosts, and sums of cotangents of ghosts, by functions of the caller."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._operation import Matrix, Operation

if TYPE_CHECKING:
    from symnets.native._program import Program


class Exchange(Operation):
    """Call of a function of the caller, if there is one, on the rows of own atoms and ghosts of a matrix.

    Ghosts are copies of atoms that belong to other processes, or periodic images. Forward: the caller's
    function copies the rows of own atoms to those of their ghosts, in other processes too. Reverse: it adds
    the rows of ghosts to those of their owners. It is called by the first thread that enters the program.

    Args:
        matrix: the rows.
        direction: "forward" or "reverse".
    """

    over = "halo"

    def __init__(self, matrix: Matrix, direction: str) -> None:
        self.matrix, self.direction = matrix, direction
        self.arguments = self.writes = (matrix,)

    @property
    def key(self) -> Hashable:
        return self.direction

    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        raise NotImplementedError("the driver writes the call")

    def reverse(self, program: "Program") -> None:
        program.add(Exchange(program.require_cotangent(self.matrix), "reverse"))
