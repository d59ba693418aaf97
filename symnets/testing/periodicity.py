"""Laws of the lattice: periodic images, choice of cell, supercells."""

import numpy as np
from ase import Atoms

from symnets.models import ForceField
from symnets.testing.verdict import deviations, evaluate, require


def assert_periodic_images_equivalent(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """An atom may be named by any of its images: r_i -> r_i + n_i · cell changes nothing.

    The whole numbers n_i, drawn between -2 and 2, are zero along directions that are not periodic.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    images = np.random.default_rng(seed).integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    moved = atoms.copy()
    moved.positions += images @ atoms.cell.array
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [moved])
    require("periodic images", deviations(measured, expected), tolerance)


def assert_cell_choice_irrelevant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """The same lattice has many cells: cell -> M · cell changes nothing.

    M is a product of random shears a_p -> a_p ± a_q of periodic lattice vectors: whole numbers,
    determinant one.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    rng, (periodic,) = np.random.default_rng(seed), np.nonzero(atoms.pbc)
    cell = atoms.cell.array.copy()
    for _ in range(2 if len(periodic) > 1 else 0):
        p, q = rng.choice(periodic, 2, replace=False)
        cell[p] += rng.choice([-1, 1]) * cell[q]
    other = atoms.copy()
    other.set_cell(cell)
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [other])
    require("cell choice", deviations(measured, expected), tolerance)


def assert_size_extensive(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """A supercell of n cells has n times the energy, the same forces on every copy, the same stress.

    Up to two periodic lattice vectors, drawn at random, are doubled.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    (periodic,) = np.nonzero(atoms.pbc)
    repeats = np.ones(3, dtype=int)
    repeats[np.random.default_rng(seed).permutation(periodic)[:2]] = 2
    n_cells = int(repeats.prod())
    one = evaluate(force_field, [atoms])
    expected = one._replace(
        energy=n_cells * one.energy,
        forces=one.forces.repeat(n_cells, 1),
        node_energy=one.node_energy.repeat(n_cells),
    )
    measured = evaluate(force_field, [atoms.repeat(repeats)])
    require("supercell", deviations(measured, expected), tolerance)
