"""Laws of locality and periodicity: batches, distant molecules, the cutoff, images, cells, supercells."""

import numpy as np
from ase import Atom, Atoms
from ase.geometry import get_distances

from symnets.models import ForceField
from symnets.testing._check import FLOOR, deviations, evaluate, require
from symnets.testing._structures import random_crystal, random_molecule

STEPS = (1e-4, 1e-6, 1e-8)
"""Distances h from the cutoff, in Å."""


def assert_batch_equals_singles(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert the same energy, forces and stress of a structure alone and in a batch with other structures.

    In the batch a crystal and a single atom without edges come before it, and a molecule after it.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    species = force_field.species
    others = [random_crystal(species, 2, seed=seed), Atoms([species[0]], [(0.0, 0.0, 0.0)])]
    batch = [*others, atoms, random_molecule(species, 3, seed=seed)]
    expected, batched = evaluate(force_field, [atoms]), evaluate(force_field, batch)
    n_before = sum(len(other) for other in others)
    own, stress = slice(n_before, n_before + len(atoms)), None
    if batched.stress is not None:
        stress = batched.stress[len(others)][None]
    measured = expected._replace(
        energy=batched.energy[len(others)][None],
        forces=batched.forces[own],
        node_energy=batched.node_energy[own],
        stress=stress,
    )
    require("batch", deviations(measured, expected), tolerance)


def assert_distant_molecules_do_not_interact(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that molecules beyond the cutoff do not interact: E(A + B) = E(A) + E(B), with unchanged forces.

    B is a random molecule; the nearest atoms of A and B are at least 1.01 cutoffs apart.

    Raises:
        ValueError: the structure is periodic.
        AssertionError: a relative error is above the tolerance.
    """
    if atoms.pbc.any():
        raise ValueError("atoms: expected a molecule, got a periodic structure")
    other = random_molecule(force_field.species, 4, seed=seed)
    gap = 1.01 * force_field.cutoff
    other.positions += (atoms.positions.max(axis=0) - other.positions.min(axis=0) + gap) * (1, 0, 0)
    expected, measured = evaluate(force_field, [atoms, other]), evaluate(force_field, [atoms + other])
    expected = expected._replace(energy=expected.energy.sum(dim=0, keepdim=True))
    require("distant molecules", deviations(measured, expected), tolerance)


def assert_smooth_at_cutoff(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-5, seed: int = 0
) -> None:
    """Assert that energy and forces are continuous when an atom crosses the cutoff.

    A probe atom is added at a distance cutoff ± h from an atom, and neighbours are found anew. The jumps

        |E(cutoff + h) - E(cutoff - h)|   and   max |F(cutoff + h) - F(cutoff - h)|,

    relative to the largest force (in eV and eV/Å), must vanish with h. At h = 1e-8 Å the slope of a smooth
    model leaves about 1e-8, a force that is cut off abruptly its full size.

    Raises:
        AssertionError: the jump of the smallest step is above the tolerance.
    """
    rng, jumps = np.random.default_rng(seed), {"energy": [], "forces": []}
    index = rng.integers(len(atoms))
    number = rng.choice(atoms.numbers)
    directions = rng.standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    candidates = atoms.positions[index] + force_field.cutoff * directions
    _, distances = get_distances(candidates, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    direction = directions[distances.min(axis=1).argmax()]  # away from other atoms

    def probed(distance: float) -> Atoms:
        return atoms + Atoms([Atom(number, atoms.positions[index] + distance * direction)])

    for step in STEPS:
        inside = evaluate(force_field, [probed(force_field.cutoff - step)])
        outside = evaluate(force_field, [probed(force_field.cutoff + step)])
        scale = inside.forces.abs().max().clamp(min=FLOOR)
        jumps["energy"].append(((outside.energy - inside.energy).abs().max() / scale).item())
        jumps["forces"].append(((outside.forces - inside.forces).abs().max() / scale).item())
    for what, sizes in jumps.items():
        history = ", ".join(f"{jump:.1e} at {step:.0e} Å" for jump, step in zip(sizes, STEPS, strict=True))
        require("cutoff", {f"{what} (jumps {history})": sizes[-1]}, tolerance)


def assert_periodic_images_equivalent(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that moving atoms by lattice vectors, r_i -> r_i + n_i · cell, changes nothing.

    The integers n_i are random between -2 and 2, and zero along directions that are not periodic.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    images = np.random.default_rng(seed).integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    moved = atoms.copy()
    moved.positions += images @ atoms.cell.array
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [moved])
    require("periodic images", deviations(measured, expected), tolerance)


def assert_cell_choice_irrelevant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that the choice of the cell of a lattice, cell -> M · cell, changes nothing.

    M is a product of random shears a_p -> a_p ± a_q of periodic lattice vectors: an integer matrix of
    determinant one.

    Raises:
        AssertionError: a relative error is above the tolerance.
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
    """Assert that a supercell of n cells has n times the energy, the same forces and the same stress.

    Up to two random periodic lattice vectors are doubled.

    Raises:
        AssertionError: a relative error is above the tolerance.
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
