"""Places of the matrices of a program in one block of memory (arena), in which matrices may share places."""

from typing import NamedTuple

import numpy as np

from symnets.native._operation import Kind, Matrix
from symnets.native._program import Program

ALIGNMENT = 64
"""Bytes to which addresses are aligned: the size of the widest registers."""
ROW_PADDING = 16
"""Numbers of atoms and edges, plus one, are rounded up to multiples of this."""


class Place(NamedTuple):
    """Place of a matrix in the arena: the part of the arena, and an offset in this part."""

    rows: str
    """"atoms", "edges" or "one"."""
    offset: int
    """Offset in bytes, for "atoms" and "edges" divided by the padded number of rows."""


class Layout:
    """Places of the matrices of a program, except those that the caller provides.

    The arena contains matrices of atoms, then those of edges, then those of one row. For N atoms and E edges
    it has

        bytes(N, E) = atoms P(N) + edges P(E) + one,     P(n) = n + 1, rounded up to a multiple of 16.

    Args:
        program: a finished program.
        external: matrices that the caller provides.
        dtype: dtype of the numbers of kind "r", "float32" or "float64".

    Attributes:
        places: place of each matrix.
        atoms, edges: bytes for each padded row.
        one: bytes of the matrices of one row.
    """

    def __init__(self, program: Program, external: set[Matrix], dtype: str) -> None:
        sizes: dict[Kind, int] = {"r": np.dtype(dtype).itemsize, "d": 8, "i": 8}
        first: dict[Matrix, int] = {}
        last: dict[Matrix, int] = {}
        for step, operation in enumerate(program.operations):
            for argument in operation.arguments:
                if isinstance(argument, Matrix) and argument not in external:
                    first.setdefault(argument, step)
                    last[argument] = step
        self.places: dict[Matrix, Place] = {}
        heights = {"atoms": 0, "edges": 0, "one": 0}
        in_use: list[tuple[Matrix, int, int]] = []
        for matrix in sorted(first, key=lambda m: first[m]):
            in_use = [use for use in in_use if last[use[0]] >= first[matrix]]
            unit = ALIGNMENT if matrix.rows == "one" else 4
            length = -(-matrix.columns * sizes[matrix.kind] // unit) * unit
            offset = 0  # the lowest gap that is large enough
            for _, low, high in sorted((u for u in in_use if u[0].rows == matrix.rows), key=lambda u: u[1]):
                if offset + length <= low:
                    break
                offset = max(offset, high)
            in_use.append((matrix, offset, offset + length))
            self.places[matrix] = Place(matrix.rows, offset)
            heights[matrix.rows] = max(heights[matrix.rows], offset + length)
        self.atoms, self.edges, self.one = heights["atoms"], heights["edges"], heights["one"]

    def bytes(self, n_atoms: int, n_edges: int) -> int:
        """Size of the arena in bytes."""
        return self.atoms * padded(n_atoms) + self.edges * padded(n_edges) + self.one


def padded(n: int) -> int:
    """n + 1, rounded up to a multiple of `ROW_PADDING`."""
    return n // ROW_PADDING * ROW_PADDING + ROW_PADDING
