"""Neighbour list with a skin (Verlet list): rebuilt only when needed, exact at every call."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import MIN_SEPARATION, centered, near_origin, neighbors
from symnets.native import EdgeFilter


class Placement(NamedTuple):
    """Positions of atoms, moved near the origin, and the edges within the cutoff."""

    pos: Float[Tensor, "atoms 3"]
    """Positions in Å, float64: one of the periodic images of each atom, with their mean at the origin."""
    edge_index: Int[Tensor, "2 edges"]
    """Row 0 is the sender, row 1 the receiver; sorted by receiver."""
    edge_shift: Float[Tensor, "edges 3"]
    """Shift of the sender in cell units, float64; it belongs to `pos`, not to the given positions."""


class _Build(NamedTuple):
    """The last neighbour list, and the structure it was built for."""

    numbers: np.ndarray
    pbc: np.ndarray
    cell: np.ndarray
    wrap: np.ndarray
    positions: np.ndarray
    edge_index: Tensor
    edge_shift: Tensor
    edges: EdgeFilter
    """Makes the edges of positions as they are given, not wrapped."""


class SkinnedNeighbors:
    """Edges within the cutoff, from a neighbour list of range cutoff + skin that is rebuilt only when needed.

    Let r⁰ and h⁰ be positions and cell at the last build, r and h the present ones, and F the affine map with
    h = h⁰ F. The displacement of an atom is u = r - r⁰ F, minus the mean over atoms. A pair absent from the
    list was further apart than cutoff + skin at the build, and is now further apart than

        σ_min(F) (cutoff + skin) - 2 max |u|.

    As long as that is at least the cutoff, the list has every edge; for a fixed cell it means that no atom
    moved more than skin / 2. The list is filtered to the cutoff at every call, in float64, so that the result
    does not depend on the skin.

    Atoms are wrapped into the cell at each build, move continuously until the next, and are centred at the
    origin. Coordinates therefore stay small and keep their precision in float32 however far the given atoms
    have drifted.

    Args:
        cutoff: cutoff in Å.
        skin: skin in Å, at least 0; with 0 the list is rebuilt for every new configuration.
        device: device of the positions and edges.

    Raises:
        ValueError: the skin is negative or infinite.
    """

    def __init__(self, cutoff: float, skin: float = 0.5, *, device: torch.device | str = "cpu") -> None:
        if not 0 <= skin < np.inf:
            raise ValueError(f"skin: expected a length in Å, at least 0, got {skin}")
        self.cutoff, self.skin, self.device = cutoff, skin, torch.device(device)
        self.n_builds = 0
        self._build: _Build | None = None

    def __call__(self, atoms: Atoms) -> Placement:
        """Positions and edges of the atoms.

        Raises:
            ValueError: two atoms at the same position, or input that `symnets.data.neighbors` refuses.
        """
        build = self._current(atoms)
        pos = torch.from_numpy(centered(atoms.positions, atoms.cell.array, build.wrap)).to(self.device)
        cell = torch.from_numpy(atoms.cell.array.copy()).to(self.device)
        sender, receiver = build.edge_index
        distance = (pos[sender] - pos[receiver] + build.edge_shift @ cell).norm(dim=1)
        if len(distance):
            _check_closest(float(distance.min()), build.edge_index[:, distance.argmin()].tolist())
        near = distance < self.cutoff
        return Placement(pos, build.edge_index[:, near], build.edge_shift[near])

    def edges(
        self, atoms: Atoms, before_build: Callable[[Atoms], None] | None = None
    ) -> tuple[EdgeFilter, int]:
        """Edges of the atoms as arrays on the CPU, and their number, without building a graph.

        Args:
            atoms: the atoms.
            before_build: called before a new list is built, to check the atoms. No check is needed while the
                last list has every edge: then positions and cell are finite, and the elements are those of
                the last build.

        Returns:
            the edges, in arrays that the next call overwrites unless it builds a new list; and their number.

        Raises:
            ValueError: two atoms at the same position, or input that `symnets.data.neighbors` refuses.
        """
        edges = self._current(atoms, before_build).edges
        np.copyto(edges.positions, atoms.positions)
        np.copyto(edges.cells[0], atoms.cell.array)
        n_edges = edges()
        if edges.shortest < MIN_SEPARATION:
            _check_closest(edges.shortest, edges.closest)
        return edges, n_edges

    def _current(self, atoms: Atoms, before_build: Callable[[Atoms], None] | None = None) -> _Build:
        """The list of these atoms, rebuilt if needed."""
        build = self._build
        if build is None or not self._covers(build, atoms):
            if before_build is not None:
                before_build(atoms)
            build = self._build = self._rebuilt(atoms)
        return build

    def _covers(self, build: _Build, atoms: Atoms) -> bool:
        """Whether the list still has every edge of these atoms."""
        if not (_equal(build.numbers, atoms.numbers) and _equal(build.pbc, atoms.pbc)):
            return False
        reach, before, cell = self.cutoff + self.skin, build.positions, atoms.cell.array
        if not _equal(build.cell, cell):
            if not np.isfinite(cell).all() or np.linalg.matrix_rank(build.cell) < 3:
                return False
            deformation = np.linalg.solve(build.cell, cell)
            reach = reach * float(np.linalg.svd(deformation, compute_uv=False).min())
            before = before @ deformation
        np.copyto(build.edges.reference, before)
        np.copyto(build.edges.positions, atoms.positions)
        return reach - 2 * build.edges.displacement() >= self.cutoff

    def _rebuilt(self, atoms: Atoms) -> _Build:
        cell, pbc = atoms.cell.array.copy(), atoms.pbc.copy()
        pos, wrap = near_origin(atoms.positions, cell, pbc)
        edge_index, edge_shift = neighbors(
            torch.from_numpy(pos), torch.from_numpy(cell), torch.from_numpy(pbc), self.cutoff + self.skin
        )
        self.n_builds += 1
        images = edge_shift.numpy() - wrap[edge_index[0]] + wrap[edge_index[1]]
        edges = EdgeFilter(edge_index.numpy(), images, np.zeros(len(pos), dtype=np.int64), 1, self.cutoff)
        return _Build(
            atoms.numbers.copy(),
            pbc,
            cell,
            wrap,
            atoms.positions.astype(np.float64),
            edge_index.to(self.device),
            edge_shift.to(self.device, torch.float64),
            edges,
        )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether small arrays are equal; faster than `np.array_equal` if they are equal bit for bit."""
    return (a.dtype == b.dtype and a.tobytes() == b.tobytes()) or np.array_equal(a, b)


def _check_closest(distance: float, pair: Sequence[int]) -> None:
    """Raise ValueError if the two closest atoms are at the same place."""
    if distance < MIN_SEPARATION:
        first, second = sorted(pair)
        raise ValueError(
            f"positions: atoms {first} and {second} are at the same place ({distance:.2g} Å apart)"
        )
