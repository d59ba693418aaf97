"""Exchange: ghosts get the features of their owners, and give back their cotangents."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from llvmlite import ir

from symnets.native._operation import Matrix, Operation

if TYPE_CHECKING:
    from symnets.native._program import Program


class Exchange(Operation):
    """Calls a function of the caller, if there is one, with a matrix of the rows of own atoms and ghosts.

    Forward: the caller copies the rows of own atoms to those of their ghosts, in other processes too.
    Reverse: the caller adds the rows of ghosts to those of their owners.

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
        cotangent = program.cotangent(self.matrix)
        assert cotangent is not None
        program.add(Exchange(cotangent, "reverse"))
