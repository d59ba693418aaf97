"""Graphs that are made when they are needed, for data sets that are larger than memory."""

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from symnets.data._frames import Frames
from symnets.data._graph import AtomGraph, from_ase, mark_missing


class GraphsOnDemand(Sequence[AtomGraph]):
    """Sequence of graphs; each structure is read, and its neighbours are found, when its graph is taken.

    A graph equals, bit for bit, the one that `build_graphs` makes of the same frame; labels that the frame
    lacks are NaN. Graphs are not kept, so that memory does not grow. Give the sequence to a `Loader` with
    `workers`.

    Args:
        frames: structures in files.
        rows: indices of the frames, in the order of the sequence.
        cutoff: distance in Å below which two atoms are neighbours.
        dtype: floating dtype of the graphs; torch's default if None.
        weight: function from a frame's name and structure to its weight in the loss; None for equal weights.
    """

    def __init__(
        self,
        frames: Frames,
        rows: Sequence[int] | NDArray[np.int64],
        cutoff: float,
        *,
        dtype: torch.dtype | None = None,
        weight: Callable[[str, Atoms], float] | None = None,
    ) -> None:
        self.frames, self.rows, self.cutoff = frames, np.asarray(rows, dtype=np.int64), cutoff
        self.dtype, self.weight = dtype or torch.get_default_dtype(), weight

    def __len__(self) -> int:
        """Number of graphs."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> "GraphsOnDemand": ...
    def __getitem__(self, index: int | slice) -> "AtomGraph | GraphsOnDemand":
        """Make a graph; for a slice, return a sequence of graphs that are not made yet.

        Raises:
            ValueError: the frame cannot be read, or `from_ase` refuses it; the message gives its name.
        """
        if isinstance(index, slice):
            rows = self.rows[index]
            return GraphsOnDemand(self.frames, rows, self.cutoff, dtype=self.dtype, weight=self.weight)
        return self.with_structure(index)[1]

    def name(self, index: int) -> str:
        """Name of the frame of a graph, such as "data.xyz, frame 3"."""
        return self.frames.name(int(self.rows[index]))

    def with_structure(self, index: int) -> tuple[Atoms, AtomGraph]:
        """Read the structure with an index, and make its graph.

        Raises:
            ValueError: the frame cannot be read, or `from_ase` refuses it; the message gives its name.
        """
        atoms, name = self.frames[int(self.rows[index])], self.name(index)
        try:
            graph = from_ase(atoms, self.cutoff, dtype=self.dtype)
        except ValueError as error:
            raise ValueError(f"{name} ({atoms.symbols}): {error}") from error
        mark_missing([graph])
        if self.weight is not None:
            graph.weight = torch.tensor([self.weight(name, atoms)], dtype=torch.float64, device="cpu")
        return atoms, graph
