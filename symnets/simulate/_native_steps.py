"""Steps of a simulation with a compiled force field: neighbours are filtered, then one native call."""

import copy
from collections.abc import Callable

import numpy as np
from ase import Atoms

from symnets.data import has_stress
from symnets.models import Compiled
from symnets.native import AtomEnergies, BoundProgram, EdgeFilter, NativeProgram, index_of_element
from symnets.simulate._skin import SkinnedNeighbors

_VOIGT = np.array([0, 4, 8, 5, 2, 1]), np.array([0, 4, 8, 7, 6, 3])
"""Entries xx yy zz yz xz xy of a 3 x 3 matrix, and of its transpose."""


class NativeSteps:
    """Energies and forces of successive configurations of atoms, by the native program of a model.

    Args:
        model: compiled force field.
        neighbors: neighbour list with the cutoff of the model.
    """

    def __init__(self, model: Compiled, neighbors: SkinnedNeighbors) -> None:
        self.model, self.neighbors = model, neighbors
        self._program: NativeProgram | None = None
        self._edges: EdgeFilter | None = None
        self._bound: BoundProgram | None = None

    def __call__(self, atoms: Atoms, check: Callable[[Atoms], None]) -> AtomEnergies | None:
        """Result for the atoms, overwritten by the next call; None if the force field has no native program.

        Args:
            atoms: the atoms.
            check: raises an error for atoms that the force field does not take; called before a neighbour
                list is built.
        """
        if (program := self.model.native) is None:
            return None
        edges, n_edges = self.neighbors.edges(atoms, check)
        if self._bound is None or edges is not self._edges or program is not self._program:
            self._edges, self._program = edges, program
            species = index_of_element(self.model.species)[atoms.numbers]
            own = copy.copy(program)  # with memory of its own
            self._bound = BoundProgram(own, species, edges.sender, edges.receiver, edges.vectors)
        return self._bound(n_edges)

    def __deepcopy__(self, memo: dict[int, object]) -> "NativeSteps":
        return NativeSteps(copy.deepcopy(self.model, memo), copy.deepcopy(self.neighbors, memo))

    def __reduce__(self) -> tuple[type["NativeSteps"], tuple[Compiled, SkinnedNeighbors]]:
        return NativeSteps, (self.model, self.neighbors)


class Volumes:
    """Volume of the cell of a structure that has a stress; computed again when the cell changes."""

    def __init__(self) -> None:
        self._key: tuple[bytes, bytes] | None = None
        self._volume: float | None = None

    def __call__(self, atoms: Atoms) -> float | None:
        """Volume in Å³; None for a structure without stress, see `symnets.data.has_stress`."""
        cell, pbc = atoms.cell.array, atoms.pbc
        if (key := (cell.tobytes(), pbc.tobytes())) != self._key:
            self._key = key
            self._volume = float(abs(np.linalg.det(cell))) if has_stress(cell, pbc) else None
        return self._volume


def voigt(virials: np.ndarray, volume: float) -> np.ndarray:
    """Symmetric parts of matrices (..., 3, 3) divided by a volume; (..., 6), in order xx yy zz yz xz xy."""
    flat = virials.reshape(*virials.shape[:-2], 9)
    return (flat[..., _VOIGT[0]] + flat[..., _VOIGT[1]]) / (2 * volume)
