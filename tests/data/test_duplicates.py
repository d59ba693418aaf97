"""Structures that occur twice are found, whatever the order and the periodic images of their atoms."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from symnets.data import duplicates


def crystal() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.6, cubic=True)


def slab() -> Atoms:
    return fcc111("Cu", (2, 2, 2), vacuum=6.0)


def wire() -> Atoms:
    return Atoms("CuAgCu", [[0, 0, 0], [1.0, 2.4, 0.3], [0, 0.2, 2.4]], cell=[0, 5.0, 0], pbc=[0, 1, 0])


KINDS = {"crystal": crystal, "slab": slab, "wire": wire, "molecule": lambda: molecule("C2H6")}


def rattled(kind: str, n: int) -> list[Atoms]:
    frames = [KINDS[kind]() for _ in range(n)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=seed)
    return frames


def disguised(atoms: Atoms, size: float) -> Atoms:
    """The structure with permuted and wrapped atoms, moved by up to `size` in each direction."""
    rng = np.random.default_rng(0)
    copy = atoms.copy()[rng.permutation(len(atoms))]
    images = rng.integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    copy.positions += images @ atoms.cell.array + size * rng.uniform(-1, 1, (len(atoms), 3))
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_copies_are_found_and_displaced_structures_are_not(kind):
    frames = rattled(kind, 12)
    copies = [disguised(frames[i], 5e-5) for i in (3, 7)]
    near = frames[4].copy()
    near.positions[1, 0] += 2e-4
    assert duplicates([near, *copies], frames) == [(1, 3), (2, 7)]
    assert duplicates([*frames, near, *copies]) == [(13, 3), (14, 7)]
    assert duplicates([near, *copies], frames, tolerance=1e-3) == [(0, 4), (1, 3), (2, 7)]


def test_species_cell_and_periodicity_must_agree():
    atoms = crystal()
    swapped, strained, open_cell = atoms.copy(), atoms.copy(), atoms.copy()
    swapped.numbers[:2] = swapped.numbers[:2][::-1]
    strained.set_cell(atoms.cell * 1.001)
    open_cell.pbc = False
    assert duplicates([swapped, strained, open_cell], [atoms]) == []
    boxed = molecule("CH4")
    boxed.cell = [9.0] * 3  # without periodic vectors a cell means nothing
    assert duplicates([boxed], [molecule("CH4")]) == [(0, 0)]


def test_the_first_of_several_equal_structures_is_named():
    atoms = molecule("H2O")
    assert duplicates([atoms, atoms.copy(), atoms.copy()]) == [(1, 0), (2, 0)]
    assert duplicates([atoms]) == []
