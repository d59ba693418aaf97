"""Random molecules and crystals, the specimens the laws are tried on."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from jaxtyping import Float

CANDIDATES = 50
"""Positions tried for each atom; the one farthest from the others is kept."""


def random_rotation(seed: int = 0, *, improper: bool = False) -> Float[np.ndarray, "3 3"]:
    """Orthogonal matrix drawn uniformly, of determinant +1, or -1 if `improper`."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))  # makes the draw uniform (Mezzadri, math-ph/0609050)
    return q * np.sign(np.linalg.det(q)) * (-1 if improper else 1)


def random_molecule(species: Sequence[int], n_atoms: int, *, seed: int = 0) -> Atoms:
    """A connected cluster: each atom 0.8 to 1.6 Å from an earlier one, and as far as may be from the rest.

    Args:
        species: atomic numbers to draw from.
        n_atoms: number of atoms.
        seed: seeds the draw.
    """
    rng = np.random.default_rng(seed)
    positions = np.zeros((1, 3))
    for _ in range(n_atoms - 1):
        directions = rng.standard_normal((CANDIDATES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        bonded, length = positions[rng.integers(len(positions))], rng.uniform(0.8, 1.6)
        candidates = bonded + length * directions
        positions = np.vstack([positions, _roomiest(candidates, positions)])
    return Atoms(rng.choice(species, n_atoms), positions + rng.standard_normal(3))


def random_crystal(
    species: Sequence[int],
    n_atoms: int,
    *,
    pbc: tuple[bool, bool, bool] = (True, True, True),
    volume: float = 14.0,
    seed: int = 0,
) -> Atoms:
    """A triclinic cell with atoms in it, some of them outside the cell's walls.

    Args:
        species: atomic numbers to draw from.
        n_atoms: number of atoms.
        pbc: which lattice vectors are periodic.
        volume: Å³ an atom; one atom of 14 Å³ has a cell far smaller than any usual cutoff.
        seed: seeds the draw.
    """
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + 0.25 * rng.uniform(-1, 1, (3, 3))
    cell = cell @ random_rotation(seed) * (volume * n_atoms / np.linalg.det(cell)) ** (1 / 3)
    positions = rng.uniform(size=(1, 3)) @ cell
    for _ in range(n_atoms - 1):
        candidates = rng.uniform(size=(CANDIDATES, 3)) @ cell
        positions = np.vstack([positions, _roomiest(candidates, positions, cell, pbc)])
    images = rng.integers(-1, 2, (n_atoms, 3)) * np.array(pbc)
    return Atoms(rng.choice(species, n_atoms), positions + images @ cell, cell=cell, pbc=pbc)


def specimens(species: Sequence[int], *, seed: int = 0) -> list[Atoms]:
    """What the law book is tried on: a molecule, a dense crystal, a one-atom crystal and a slab."""
    return [
        random_molecule(species, 6, seed=seed),
        random_crystal(species, 3, volume=7.0, seed=seed + 1),
        random_crystal(species, 1, seed=seed + 2),
        random_crystal(species, 3, pbc=(True, True, False), seed=seed + 3),
    ]


def _roomiest(
    candidates: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] | None = None,
) -> np.ndarray:
    """The candidate whose nearest neighbour is farthest."""
    _, distances = get_distances(candidates, positions, cell=cell, pbc=pbc)
    return candidates[distances.min(axis=1).argmax()]
