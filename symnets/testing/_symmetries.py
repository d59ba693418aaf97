"""Laws of symmetry: rotation, reflection, translation, permutation; and the error of equivariance."""

import numpy as np
import torch
from ase import Atoms

from symnets.data import AtomGraph
from symnets.models import EnergyForces, ForceField
from symnets.testing._check import deviations, evaluate, require
from symnets.testing._structures import random_rotation


def assert_rotation_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that a rotation R rotates forces and stress and leaves energies invariant.

        E(R r) = E(r),   F(R r) = R F(r),   σ(R r) = R σ(r) Rᵀ,   det R = 1.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    _assert_orthogonal("rotation", force_field, atoms, random_rotation(seed), tolerance)


def assert_reflection_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that a reflection R reflects forces and stress and leaves energies invariant.

        E(R r) = E(r),   F(R r) = R F(r),   σ(R r) = R σ(r) Rᵀ,   det R = -1.

    R is a random rotation with inversion. A model that is equivariant under SO(3) but not O(3) may break this
    law for chiral structures.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    _assert_orthogonal("reflection", force_field, atoms, random_rotation(seed, improper=True), tolerance)


def assert_translation_invariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that energy, forces and stress do not depend on the origin: they are equal at r and r + t.

    The translation t is random, with components of a few Å.

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(scale=5, size=3)
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [moved])
    require("translation", deviations(measured, expected), tolerance)


def assert_permutation_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Assert that a permutation of atoms permutes forces and atomic energies: E(P r) = E(r), F(P r) = P F(r).

    Raises:
        AssertionError: a relative error is above the tolerance.
    """
    order = np.random.default_rng(seed).permutation(len(atoms))
    if len(order) > 1 and (order == np.arange(len(order))).all():
        order = order[::-1].copy()  # not the identity
    prediction, measured = evaluate(force_field, [atoms]), evaluate(force_field, [atoms[order]])
    expected = prediction._replace(forces=prediction.forces[order], node_energy=prediction.node_energy[order])
    require("permutation", deviations(measured, expected), tolerance)


def equivariance_error(
    force_field: ForceField, graph: AtomGraph, seed: int = 0, *, parity: bool = True
) -> float:
    """Relative error of equivariance under a random rotation and reflection, in the dtype of graph and model.

    For a random orthogonal matrix R it is the largest value of

        max |q(R r) - R q(r)| / max |q(r)|

    over the predictions q: energy, atomic energies, forces and stress.

    Args:
        force_field: any force field, in evaluation mode and in the dtype of the graph.
        graph: one structure or a batch; its neighbours are kept, positions and cells are rotated.
        seed: seed of R.
        parity: whether to return the larger error of a rotation and of a rotation with inversion, for O(3);
            otherwise the error of a rotation, for SO(3).
    """
    matrices = [random_rotation(seed)] + ([random_rotation(seed, improper=True)] if parity else [])
    before, errors = force_field(graph), []
    for matrix in matrices:
        rotation = torch.as_tensor(matrix, device=graph.pos.device)
        rotated = graph.clone()
        rotated.pos = (graph.pos.double() @ rotation.mT).to(graph.pos)
        rotated.cell = (graph.cell.double() @ rotation.mT).to(graph.cell)
        tiny = torch.finfo(torch.float32).tiny
        errors += deviations(force_field(rotated), _rotated(before, rotation), floor=tiny).values()
    return float(np.max(errors))  # NaN if an error is NaN, unlike Python's max


def _assert_orthogonal(
    law: str, force_field: ForceField, atoms: Atoms, rotation: np.ndarray, tolerance: float
) -> None:
    """Assert that predictions are equivariant under an orthogonal matrix."""
    rotated = atoms.copy()
    rotated.set_cell(atoms.cell.array @ rotation.T)
    rotated.positions = atoms.positions @ rotation.T
    expected = _rotated(evaluate(force_field, [atoms]), torch.as_tensor(rotation))
    require(law, deviations(evaluate(force_field, [rotated]), expected), tolerance)


def _rotated(prediction: EnergyForces, rotation: torch.Tensor) -> EnergyForces:
    """The prediction for the rotated structure, in float64."""
    rotation = rotation.to(prediction.forces.device)
    stress = prediction.stress
    return prediction._replace(
        forces=prediction.forces.double() @ rotation.mT,
        stress=None if stress is None else rotation @ stress.double() @ rotation.mT,
    )
