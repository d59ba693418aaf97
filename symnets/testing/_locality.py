"""Laws of locality: strangers in a batch, molecules far apart, an atom at the cutoff.

Laws of the lattice: periodic images, choice of cell, supercells.
"""

import numpy as np
from ase import Atom, Atoms
from ase.geometry import get_distances

from symnets.models import ForceField
from symnets.testing._structures import random_crystal, random_molecule
from symnets.testing._verdict import FLOOR, deviations, evaluate, require

STEPS = (1e-4, 1e-6, 1e-8)
"""Half widths, in Å, of the jumps across the cutoff."""


def assert_batch_equals_singles(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """A structure has the same energy, forces and stress alone and in a batch among strangers.

    Before it come a crystal and a lone atom, which has no edges; after it a molecule.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    species = force_field.species
    strangers = [random_crystal(species, 2, seed=seed), Atoms([species[0]], [(0.0, 0.0, 0.0)])]
    batch = [*strangers, atoms, random_molecule(species, 3, seed=seed)]
    expected, together = evaluate(force_field, [atoms]), evaluate(force_field, batch)
    n_before = sum(len(stranger) for stranger in strangers)
    own, stress = slice(n_before, n_before + len(atoms)), None
    if together.stress is not None:
        stress = together.stress[len(strangers)][None]
    measured = expected._replace(
        energy=together.energy[len(strangers)][None],
        forces=together.forces[own],
        node_energy=together.node_energy[own],
        stress=stress,
    )
    require("batch", deviations(measured, expected), tolerance)


def assert_distant_molecules_do_not_interact(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Beyond the cutoff there is nothing: E(A + B) = E(A) + E(B), and each keeps its forces.

    B is a molecule drawn at random; the nearest atoms of A and B are 1.01 cutoffs apart.

    Raises:
        ValueError: if the structure is periodic.
        AssertionError: if a relative error is above the tolerance.
    """
    if atoms.pbc.any():
        raise ValueError("expected a molecule, got a periodic structure: its images fill all space")
    other = random_molecule(force_field.species, 4, seed=seed)
    gap = 1.01 * force_field.cutoff
    other.positions += (atoms.positions.max(axis=0) - other.positions.min(axis=0) + gap) * (1, 0, 0)
    expected, measured = evaluate(force_field, [atoms, other]), evaluate(force_field, [atoms + other])
    expected = expected._replace(energy=expected.energy.sum(dim=0, keepdim=True))
    require("distant molecules", deviations(measured, expected), tolerance)


def assert_smooth_at_cutoff(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-5, seed: int = 0
) -> None:
    """An atom crossing the cutoff changes nothing abruptly: energy and forces are continuous.

    A probe atom is added at distance cutoff ± h from an atom, neighbours found afresh. The jumps

        |E(cutoff + h) - E(cutoff - h)|   and   max |F(cutoff + h) - F(cutoff - h)|,

    relative to the largest force (in eV and eV/Å), must vanish with h: at h = 1e-8 Å a smooth
    model's own slope leaves about 1e-8, a force cut abruptly its whole size.

    Raises:
        AssertionError: if the jump of the smallest step is above the tolerance.
    """
    rng, jumps = np.random.default_rng(seed), {"energy": [], "forces": []}
    index = rng.integers(len(atoms))
    number = rng.choice(atoms.numbers)
    directions = rng.standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    places = atoms.positions[index] + force_field.cutoff * directions
    _, distances = get_distances(places, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    direction = directions[distances.min(axis=1).argmax()]  # not on top of another atom

    def probed(distance: float) -> Atoms:
        return atoms + Atoms([Atom(number, atoms.positions[index] + distance * direction)])

    for step in STEPS:
        inside = evaluate(force_field, [probed(force_field.cutoff - step)])
        outside = evaluate(force_field, [probed(force_field.cutoff + step)])
        scale = inside.forces.abs().max().clamp(min=FLOOR)
        jumps["energy"].append(((outside.energy - inside.energy).abs().max() / scale).item())
        jumps["forces"].append(((outside.forces - inside.forces).abs().max() / scale).item())
    for what, seen in jumps.items():
        history = ", ".join(f"{jump:.1e} at {step:.0e} Å" for jump, step in zip(seen, STEPS, strict=True))
        require("cutoff", {f"{what} (jumps {history})": seen[-1]}, tolerance)


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
