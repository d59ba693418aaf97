"""Laws of locality and periodicity: batches, distant molecules, the cutoff, images, cells, supercells."""

import numpy as np
from ase import Atom, Atoms
from ase.geometry import get_distances

from symnets.models import EnergyForces, ForceField
from symnets.testing._check import FLOOR, deviations, evaluate, require
from symnets.testing._structures import random_crystal, random_molecule

STEPS = (1e-4, 1e-6, 1e-8)
"""Distances h of the probe atom from the cutoff, in Å."""


def assert_batch_equals_singles(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that a structure has the same energy, forces and stress alone and in a batch with others.

    The batch consists of a crystal, a single atom without edges, the structure, and a molecule.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    species = force_field.species
    others = [random_crystal(species, 2, seed=seed), Atoms([species[0]], [(0.0, 0.0, 0.0)])]
    batch = [*others, atoms, random_molecule(species, 3, seed=seed)]
    expected, batched = evaluate(force_field, [atoms]), evaluate(force_field, batch)
    n_before = sum(len(other) for other in others)
    # Slices, also of one row: if rows are missing, the shapes differ, and the law fails by name.
    own, own_atoms = slice(len(others), len(others) + 1), slice(n_before, n_before + len(atoms))
    measured = EnergyForces(
        energy=batched.energy[own],
        forces=batched.forces[own_atoms],
        stress=None if batched.stress is None else batched.stress[own],
        node_energy=batched.node_energy[own_atoms],
    )
    require("batch", deviations(measured, expected), tolerance)


def assert_distant_molecules_do_not_interact(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that molecules beyond the cutoff do not interact: E(A + B) = E(A) + E(B), with unchanged forces.

    A is the structure and B a random molecule, at a distance of at least 1.01 times the cutoff.

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

    A probe atom is added at a distance cutoff ± h from an atom, with new neighbour lists. The jumps

        |E(cutoff + h) - E(cutoff - h)|   and   max |F(cutoff + h) - F(cutoff - h)|,

    in eV and eV/Å, divided by the largest force component in eV/Å, must vanish with h. At h = 1e-8 Å they are
    about 1e-8 for a smooth model, and of order one if forces are cut off abruptly.

    Raises:
        AssertionError: a jump at the smallest h is above the tolerance.
    """
    rng = np.random.default_rng(seed)
    index = rng.integers(len(atoms))
    species = rng.choice(atoms.numbers)
    directions = rng.standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    candidates = atoms.positions[index] + force_field.cutoff * directions
    _, distances = get_distances(candidates, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    direction = directions[distances.min(axis=1).argmax()]  # farthest from the other atoms

    def probed(distance: float) -> Atoms:
        return atoms + Atoms([Atom(species, atoms.positions[index] + distance * direction)])

    def jumps(step: float) -> dict[str, float]:
        inside = evaluate(force_field, [probed(force_field.cutoff - step)])
        outside = evaluate(force_field, [probed(force_field.cutoff + step)])
        scale = inside.forces.abs().max().clamp(min=FLOOR)
        return {
            "energy": ((outside.energy - inside.energy).abs().max() / scale).item(),
            "forces": ((outside.forces - inside.forces).abs().max() / scale).item(),
        }

    smallest = jumps(STEPS[-1])
    if all(jump <= tolerance for jump in smallest.values()):
        return
    sizes = [*map(jumps, STEPS[:-1]), smallest]  # larger steps are for the message only
    for quantity in smallest:
        history = ", ".join(
            f"{jump[quantity]:.1e} at {step:.0e} Å" for jump, step in zip(sizes, STEPS, strict=True)
        )
        require("cutoff", {f"{quantity} (jumps {history})": smallest[quantity]}, tolerance)


def assert_periodic_images_equivalent(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that moving atoms by lattice vectors, r_i -> r_i + n_i · cell, changes no prediction.

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
    """Assert that another cell of the same lattice, cell -> M · cell, changes no prediction.

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
    equivalent = atoms.copy()
    equivalent.set_cell(cell)
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [equivalent])
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
    single_cell = evaluate(force_field, [atoms])
    expected = single_cell._replace(
        energy=n_cells * single_cell.energy,
        forces=single_cell.forces.repeat(n_cells, 1),
        node_energy=single_cell.node_energy.repeat(n_cells),
    )
    measured = evaluate(force_field, [atoms.repeat(repeats)])
    require("supercell", deviations(measured, expected), tolerance)
