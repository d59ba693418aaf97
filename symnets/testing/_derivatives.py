"""Mechanical laws: forces and stress are derivatives of the energy, momenta are conserved."""

from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms

from symnets.data import has_stress
from symnets.models import EnergyForces, ForceField
from symnets.testing._check import FLOOR, deviation, evaluate, require


def assert_forces_match_energy(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-6, step: float = 2e-3, seed: int = 0
) -> None:
    """Assert that forces are minus the gradient of the energy, F = -dE/dr, for every component of every atom.

    With D(h) = [E(r + h) - E(r - h)] / 2h, the derivative is the Richardson extrapolation
    [4 D(h/2) - D(h)] / 3, with an error of O(h⁴). Each displaced structure gets a new neighbour list.

    Args:
        force_field: any force field.
        atoms: the structure.
        tolerance: largest relative error.
        step: h, in Å.
        seed: not used; an argument of every law.

    Raises:
        AssertionError: the relative error is above the tolerance.
    """

    def displaced(component: int, distance: float) -> Atoms:
        moved = atoms.copy()
        moved.positions.reshape(-1)[component] += distance
        return moved

    gradient = _derivatives(force_field, displaced, 3 * len(atoms), step).view(-1, 3)
    prediction = evaluate(force_field, [atoms])
    error = deviation(prediction.forces, -gradient, floor=_floor(prediction, step, tolerance))
    require("forces", {"forces": error}, tolerance)


def assert_stress_matches_energy(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-6, step: float = 5e-4, seed: int = 0
) -> None:
    """Assert that stress is the strain derivative of the energy, σ = (1 / V) dE/dε, for all nine components.

    Positions and cell are multiplied by 1 + ε with symmetric ε, and the derivative is computed as in
    `assert_forces_match_energy`. The relative error is that of V σ, in eV.

    Args:
        force_field: any force field.
        atoms: the structure, periodic, with a cell of three independent vectors.
        tolerance: largest relative error.
        step: strain component h, dimensionless.
        seed: not used; an argument of every law.

    Raises:
        ValueError: the structure has no volume or is not periodic.
        AssertionError: the relative error is above the tolerance.
    """
    if not has_stress(atoms.cell.array, atoms.pbc):
        raise ValueError(
            "atoms: expected a periodic structure with three lattice vectors, since stress needs a volume"
        )

    def strained(component: int, value: float) -> Atoms:
        strain = np.zeros((3, 3))
        strain.reshape(-1)[component] = value
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=False)
        moved.positions = atoms.positions @ (np.eye(3) + (strain + strain.T) / 2)
        return moved

    gradient = _derivatives(force_field, strained, 9, step).view(1, 3, 3)
    prediction = evaluate(force_field, [atoms])
    assert prediction.stress is not None, "the law 'stress' is broken: the prediction has no stress"
    virial = prediction.stress * atoms.cell.volume
    error = deviation(virial, gradient, floor=_floor(prediction, step, tolerance))
    require("stress", {"stress": error}, tolerance)


def assert_momenta_conserved(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-9, seed: int = 0
) -> None:
    """Assert that momenta are conserved: Σ F = 0, Σ r × F = 0 for molecules, and a symmetric stress.

    Net force and torque are relative to the largest component of the force or torque on an atom, and the
    antisymmetric part of the stress to the largest component of the stress.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    prediction = evaluate(force_field, [atoms])
    forces = prediction.forces
    errors = {"net force": _residual(forces)}
    if not atoms.pbc.any():
        lever_arms = torch.as_tensor(atoms.positions - atoms.positions.mean(axis=0)).to(forces)
        errors["net torque"] = _residual(torch.linalg.cross(lever_arms, forces))
    elif prediction.stress is not None:
        errors["antisymmetric stress"] = deviation(prediction.stress.mT, prediction.stress)
    require("momenta", errors, tolerance)


def _residual(vectors: torch.Tensor) -> float:
    """Largest component of a sum of vectors, relative to their largest component."""
    return (vectors.sum(dim=0).abs().max() / vectors.abs().max().clamp(min=FLOOR)).item()


def _floor(prediction: EnergyForces, step: float, tolerance: float) -> float:
    """Size of a derivative (eV/Å, eV) below which rounding of the total energy may exceed the tolerance."""
    rounding = 8 * torch.finfo(torch.float64).eps * prediction.energy.abs().max().item()
    return max(FLOOR, rounding / step / tolerance)


def _derivatives(
    force_field: ForceField, moved: Callable[[int, float], Atoms], n: int, step: float
) -> torch.Tensor:
    """Richardson derivative of the energy along n displacements, all structures in one batch."""
    distances = (step, -step, step / 2, -step / 2)
    structures = [moved(component, distance) for component in range(n) for distance in distances]
    energies = evaluate(force_field, structures).energy.view(n, 4)
    wide, narrow = (energies[:, 0] - energies[:, 1]) / 2, energies[:, 2] - energies[:, 3]
    return (4 * narrow - wide) / (3 * step)
