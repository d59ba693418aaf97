"""Random molecules, crystals and rotations, on which laws are checked."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from jaxtyping import Float

CANDIDATES = 50
"""Candidate positions of each atom; the one farthest from the other atoms is kept."""


def random_rotation(seed: int = 0, *, improper: bool = False) -> Float[np.ndarray, "3 3"]:
    """Uniformly random orthogonal matrix of determinant +1, or -1 if `improper`."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))  # needed for a uniform distribution (Mezzadri, math-ph/0609050)
    return q * np.sign(np.linalg.det(q)) * (-1 if improper else 1)


def random_molecule(species: Sequence[int], n_atoms: int, *, seed: int = 0) -> Atoms:
    """Random connected cluster: each atom is 0.8 to 1.6 Å from an earlier one, and far from the others.

    Args:
        species: atomic numbers to choose from.
        n_atoms: number of atoms.
        seed: seed of species and positions.
    """
    rng = np.random.default_rng(seed)
    positions = np.zeros((1, 3))
    for _ in range(n_atoms - 1):
        directions = rng.standard_normal((CANDIDATES, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        neighbor, length = positions[rng.integers(len(positions))], rng.uniform(0.8, 1.6)
        candidates = neighbor + length * directions
        positions = np.vstack([positions, _farthest(candidates, positions)])
    return Atoms(rng.choice(species, n_atoms), positions + rng.standard_normal(3))


def random_crystal(
    species: Sequence[int],
    n_atoms: int,
    *,
    pbc: tuple[bool, bool, bool] = (True, True, True),
    volume: float = 14.0,
    seed: int = 0,
) -> Atoms:
    """Random triclinic crystal; some atoms lie outside of the cell.

    Args:
        species: atomic numbers to choose from.
        n_atoms: number of atoms.
        pbc: which lattice vectors are periodic.
        volume: Å³ per atom; with 14 Å³ a cell of one atom is far smaller than usual cutoffs.
        seed: seed of species, cell and positions.
    """
    rng = np.random.default_rng(seed)
    cell = np.eye(3) + 0.25 * rng.uniform(-1, 1, (3, 3))
    cell = cell @ random_rotation(seed) * (volume * n_atoms / np.linalg.det(cell)) ** (1 / 3)
    positions = rng.uniform(size=(1, 3)) @ cell
    for _ in range(n_atoms - 1):
        candidates = rng.uniform(size=(CANDIDATES, 3)) @ cell
        positions = np.vstack([positions, _farthest(candidates, positions, cell, pbc)])
    images = rng.integers(-1, 2, (n_atoms, 3)) * np.array(pbc)
    return Atoms(rng.choice(species, n_atoms), positions + images @ cell, cell=cell, pbc=pbc)


def sample_structures(species: Sequence[int], *, seed: int = 0) -> list[Atoms]:
    """Structures on which laws are checked: a molecule, a dense crystal, a one-atom crystal and a slab."""
    return [
        random_molecule(species, 6, seed=seed),
        random_crystal(species, 3, volume=7.0, seed=seed + 1),
        random_crystal(species, 1, seed=seed + 2),
        random_crystal(species, 3, pbc=(True, True, False), seed=seed + 3),
    ]


def _farthest(
    candidates: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None = None,
    pbc: tuple[bool, bool, bool] | None = None,
) -> np.ndarray:
    """The candidate with the largest distance to its nearest neighbour."""
    _, distances = get_distances(candidates, positions, cell=cell, pbc=pbc)
    return candidates[distances.min(axis=1).argmax()]
