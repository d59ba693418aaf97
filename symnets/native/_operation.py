"""Parts of a program: matrices, constants, and operations on rows of matrices."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from llvmlite import ir

if TYPE_CHECKING:
    from symnets.native._program import Program

Rows = Literal["atoms", "edges", "one"]
"""What a row of a matrix belongs to. "atoms": first the process's own atoms, then ghosts, which are copies of
other processes' atoms or periodic images; "one": the matrix has a single row."""
Kind = Literal["r", "d", "i"]
"""Type of the numbers of a matrix, as in `VectorCode`: the dtype of the program, float64, or int64."""
Over = Literal["local", "all", "edges", "receivers", "senders", "once", "halo"]
"""Rows that an operation computes. They are divided among the threads.

local, receivers: own atoms; all, senders: own atoms and ghosts; receivers and senders are split into ranges
with equal numbers of incoming, or outgoing, edges; once: one thread does the whole operation; halo: one
thread calls a function of the caller (`Exchange`).
"""


class Matrix:
    """A matrix of a program: one row for each atom or edge, contiguous in memory.

    In the forward methods of layers it stands for a tensor, see `lower`.

    Args:
        program: program to which it belongs.
        name: name in listings of the program.
        rows: what a row belongs to.
        columns: length of a row.
        kind: type of its numbers.
        differentiable: whether it depends on the positions of atoms.
        table: if each row depends on the species of its atom alone, the rows of all species, as a tensor.
    """

    rows: Rows
    kind: Kind

    def __init__(
        self,
        program: "Program",
        name: str,
        rows: Rows,
        columns: int,
        kind: Kind = "r",
        *,
        differentiable: bool = True,
        table: Any = None,
    ) -> None:
        self.program, self.name, self.rows, self.columns, self.kind = program, name, rows, columns, kind
        self.differentiable, self.table = differentiable, table

    @property
    def shape(self) -> tuple[None, int]:
        """(None, columns): the number of rows is known when the program runs."""
        return None, self.columns

    def __add__(self, other: "Matrix | float") -> "Matrix":
        if isinstance(other, Matrix):
            return self.program.sum(self, other)
        return self.program.affine(self, 1.0, other)

    def __radd__(self, other: float) -> "Matrix":
        return self.program.affine(self, 1.0, other)

    def __mul__(self, factor: float) -> "Matrix":
        return self.program.affine(self, factor, 0.0)

    __rmul__ = __mul__

    def __truediv__(self, divisor: "Matrix") -> "Matrix":
        """Rows divided by the numbers of a matrix of one column."""
        return self.program.divide_rows(self, divisor)

    def __getitem__(self, index: tuple[slice, slice]) -> "Matrix":
        """Columns `matrix[:, first:last]`."""
        rows, columns = index
        first, last, step = columns.indices(self.columns)
        if rows != slice(None) or step != 1 or last <= first:
            raise CannotLower(
                f"index of a matrix of {self.columns} columns: expected [:, first:last], "
                f"got [{rows}, {columns}]"
            )
        return self.program.take_columns(self, first, last - first)

    def squeeze(self, axis: int) -> "Matrix":
        """The matrix itself, because programs have no one-dimensional arrays."""
        return self


class CannotLower(ValueError):
    """Error for a layer, or an option of it, that has no native code. Callers then use torch.

    The message is the reason: "attention has no native code", or "SpeciesLinear: expected ..., got ...".
    """


@dataclass(eq=False)
class Constant:
    """Numbers stored with the program, such as weights.

    Args:
        values: floats, or integers if the kind is "i".
        kind: type of the numbers in memory.
    """

    values: np.ndarray
    kind: Kind = "r"


class Operation(ABC):
    """One step of a program: a function that computes rows of matrices from other matrices.

    Attributes:
        over: the rows that it computes.
        arguments: matrices and constants, each once, in the order of the function's arguments.
        writes: those of the arguments that it writes; all other arguments are read.
    """

    over: Over
    arguments: Sequence[Matrix | Constant]
    writes: Sequence[Matrix]

    @property
    @abstractmethod
    def key(self) -> Hashable:
        """Value that is equal for operations of the same class with the same machine code."""

    @abstractmethod
    def write(self, module: ir.Module, name: str, dtype: str) -> ir.Function:
        """Write the function of this operation into an LLVM module.

        Its arguments are pointers to `arguments` and, as integers, the first row and the last row + 1. All
        functions that it calls have names that begin with `name`.

        Args:
            module: LLVM module.
            name: name of the function.
            dtype: dtype of numbers of kind "r", "float32" or "float64".
        """

    def reverse(self, program: "Program") -> None:  # noqa: B027 (operations of integers have none)
        """Append the operations that compute the cotangents of the matrices that it reads.

        The cotangent of a matrix is the derivative of the sum of all energies with respect to it.
        `program.require_cotangent(x)` returns the cotangent of a matrix x that this operation writes.
        `program.add_cotangent(x)` returns the matrix for the cotangent of an argument x, and whether other
        operations have written to it before, so that the new values must be added. Operations without
        differentiable arguments need no such method.
        """

    def plus(self, program: "Program", other: Matrix) -> Matrix | None:
        """Change this operation, if possible, so that it writes the sum of its one result and `other`.

        Returns:
            The sum, which the operation writes in place of the matrix; None if it cannot be changed.
        """
        return None

    @property
    def kinds(self) -> str:
        """Kinds of the arguments of the function, in the letters of `VectorCode`."""
        return "".join(argument.kind for argument in self.arguments) + "nn"
