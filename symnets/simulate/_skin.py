"""SkinnedNeighbors: a neighbour list that is built rarely and exact always."""

from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.geometry import complete_cell
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import SAME_PLACE, neighbors


class Placement(NamedTuple):
    """Atoms near the origin and the edges within the cutoff between them."""

    pos: Float[Tensor, "atoms 3"]
    """Å, float64; every atom in one periodic image, their mean at the origin."""
    edge_index: Int[Tensor, "2 edges"]
    """Row 0 the sender, row 1 the receiver; sorted by receiver."""
    edge_shift: Float[Tensor, "edges 3"]
    """Cell units, float64; belongs to `pos`, not to the positions of the atoms given."""


class _Build(NamedTuple):
    """What the last neighbour list was built from, and the list."""

    numbers: np.ndarray
    pbc: np.ndarray
    cell: np.ndarray
    wrap: np.ndarray
    pos: np.ndarray
    edge_index: Tensor
    edge_shift: Tensor


class SkinnedNeighbors:
    """Edges within the cutoff, from a list that reaches a skin further and is rebuilt only when it must.

    Let r⁰ and h⁰ be positions and cell at the last build, r and h those of now, and F the affine
    map with h = h⁰ F. An atom's own movement is u = r - r⁰ F, less the mean over atoms. A pair
    absent from the list was further apart than cutoff + skin, and now is further apart than

        σ_min(F) (cutoff + skin) - 2 max |u|.

    While that is at least the cutoff the list holds every edge; with an unchanged cell it means
    that no atom moved more than skin / 2. The list is filtered to the cutoff at every call, in
    float64, so what comes out does not depend on the skin.

    Atoms are wrapped into the cell at each build, follow their movement without a jump until the next, and
    are centred at the origin: coordinates stay small, so that they survive a cast to float32 however
    far the atoms given have drifted.

    Args:
        cutoff: Å.
        skin: Å, at least 0; 0 builds at every new configuration.
        device: where the edges live.
    """

    def __init__(self, cutoff: float, skin: float = 0.5, *, device: torch.device | str = "cpu") -> None:
        if not 0 <= skin < np.inf:
            raise ValueError(f"skin: expected a length in Å, at least 0, got {skin}")
        self.cutoff, self.skin, self.device = cutoff, skin, torch.device(device)
        self.n_builds = 0
        self._build: _Build | None = None

    def __call__(self, atoms: Atoms) -> Placement:
        """Place the atoms and find their edges.

        Raises:
            ValueError: for what `symnets.data.neighbors` refuses, and for two atoms at the same place.
        """
        build = self._build
        if build is None or not self._covers(build, atoms):
            build = self._build = self._rebuilt(atoms)
        pos = torch.from_numpy(_placed(atoms, build.wrap)).to(self.device)
        cell = torch.from_numpy(atoms.cell.array.copy()).to(self.device)
        sender, receiver = build.edge_index
        distance = (pos[sender] - pos[receiver] + build.edge_shift @ cell).norm(dim=1)
        if len(distance) and distance.min() < SAME_PLACE:
            pair = sorted(build.edge_index[:, distance.argmin()].tolist())
            raise ValueError(
                f"atoms {pair[0]} and {pair[1]} are at the same place ({distance.min():.2g} Å apart)"
            )
        near = distance < self.cutoff
        return Placement(pos, build.edge_index[:, near], build.edge_shift[near])

    def _covers(self, build: _Build, atoms: Atoms) -> bool:
        """Whether the list built still holds every edge of these atoms."""
        if not (np.array_equal(build.numbers, atoms.numbers) and np.array_equal(build.pbc, atoms.pbc)):
            return False
        reach, before, cell = self.cutoff + self.skin, build.pos, atoms.cell.array
        if not np.array_equal(build.cell, cell):
            if np.linalg.matrix_rank(build.cell) < 3:
                return False
            deformation = np.linalg.solve(build.cell, cell)
            reach = reach * np.linalg.svd(deformation, compute_uv=False).min()
            before = before @ deformation
        movement = _placed(atoms, build.wrap) - before
        return bool(reach - 2 * np.linalg.norm(movement, axis=1).max() >= self.cutoff)

    def _rebuilt(self, atoms: Atoms) -> _Build:
        cell, pbc = atoms.cell.array.copy(), atoms.pbc.copy()
        wrap = np.zeros((len(atoms), 3))
        periodic = cell * pbc[:, None]  # vectors without periodicity may be zero, or anything
        if np.linalg.matrix_rank(periodic) == pbc.sum():  # otherwise `neighbors` refuses the cell
            wrap = np.floor(atoms.positions @ np.linalg.inv(complete_cell(periodic))) * pbc
        pos = _placed(atoms, wrap)
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


def _placed(atoms: Atoms, wrap: np.ndarray) -> np.ndarray:
    """Positions moved by whole cells, then centred."""
    pos = atoms.positions - wrap @ atoms.cell.array
    return pos - pos.mean(axis=0)
