"""Neighbour list with a skin (Verlet list): rebuilt only when needed, exact at every call."""

from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import MIN_SEPARATION, centered, near_origin, neighbors


class Placement(NamedTuple):
    """Positions of atoms near the origin and the edges within the cutoff."""

    pos: Float[Tensor, "atoms 3"]
    """Å, float64; each atom in one of its periodic images, the mean of all at the origin."""
    edge_index: Int[Tensor, "2 edges"]
    """Row 0 the sender, row 1 the receiver; sorted by receiver."""
    edge_shift: Float[Tensor, "edges 3"]
    """Cell units, float64; with respect to `pos`, not to the positions of the given atoms."""


class _Build(NamedTuple):
    """The last neighbour list, and the structure it was built for."""

    numbers: np.ndarray
    pbc: np.ndarray
    cell: np.ndarray
    wrap: np.ndarray
    pos: np.ndarray
    edge_index: Tensor
    edge_shift: Tensor


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
        cutoff: Å.
        skin: Å, at least 0; with 0 the list is rebuilt for every new configuration.
        device: of the edges.

    Raises:
        ValueError: a negative skin.
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
        build = self._build
        if build is None or not self._covers(build, atoms):
            build = self._build = self._rebuilt(atoms)
        pos = torch.from_numpy(centered(atoms.positions, atoms.cell.array, build.wrap)).to(self.device)
        cell = torch.from_numpy(atoms.cell.array.copy()).to(self.device)
        sender, receiver = build.edge_index
        distance = (pos[sender] - pos[receiver] + build.edge_shift @ cell).norm(dim=1)
        if len(distance) and distance.min() < MIN_SEPARATION:
            pair = sorted(build.edge_index[:, distance.argmin()].tolist())
            apart = f"({distance.min():.2g} Å apart)"
            raise ValueError(f"positions: atoms {pair[0]} and {pair[1]} are at the same place {apart}")
        near = distance < self.cutoff
        return Placement(pos, build.edge_index[:, near], build.edge_shift[near])

    def _covers(self, build: _Build, atoms: Atoms) -> bool:
        """Whether the list still has every edge of these atoms."""
        if not (np.array_equal(build.numbers, atoms.numbers) and np.array_equal(build.pbc, atoms.pbc)):
            return False
        reach, before, cell = self.cutoff + self.skin, build.pos, atoms.cell.array
        if not np.array_equal(build.cell, cell):
            if np.linalg.matrix_rank(build.cell) < 3:
                return False
            deformation = np.linalg.solve(build.cell, cell)
            reach = reach * np.linalg.svd(deformation, compute_uv=False).min()
            before = before @ deformation
        displacement = centered(atoms.positions, cell, build.wrap) - before
        return bool(reach - 2 * np.linalg.norm(displacement, axis=1).max() >= self.cutoff)

    def _rebuilt(self, atoms: Atoms) -> _Build:
        cell, pbc = atoms.cell.array.copy(), atoms.pbc.copy()
        pos, wrap = near_origin(atoms.positions, cell, pbc)
        edge_index, edge_shift = neighbors(
            torch.from_numpy(pos), torch.from_numpy(cell), torch.from_numpy(pbc), self.cutoff + self.skin
        )
        self.n_builds += 1
        return _Build(
            atoms.numbers.copy(),
            pbc,
            cell,
            wrap,
            pos,
            edge_index.to(self.device),
            edge_shift.to(self.device, torch.float64),
        )
