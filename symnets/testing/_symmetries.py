"""Laws of space and labels: rotation, reflection, translation, permutation."""

import numpy as np
import torch
from ase import Atoms

from symnets.data import AtomGraph
from symnets.models import EnergyForces, ForceField
from symnets.testing._structures import random_rotation
from symnets.testing._verdict import deviations, evaluate, require


def assert_rotation_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """A rotation R turns forces and stress and leaves energies alone.

        E(R r) = E(r),   F(R r) = R F(r),   σ(R r) = R σ(r) Rᵀ,   det R = 1.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    _assert_orthogonal("rotation", force_field, atoms, random_rotation(seed), tolerance)


def assert_reflection_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """As for rotations, with det R = -1: mirror images have the same energy.

    A model that is equivariant under SO(3) only, not O(3), may break this law on chiral structures.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    _assert_orthogonal("reflection", force_field, atoms, random_rotation(seed, improper=True), tolerance)


def assert_translation_invariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Nothing depends on the origin: E, F, σ at r + t equal those at r, t of a few Å.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(scale=5, size=3)
    expected, measured = evaluate(force_field, [atoms]), evaluate(force_field, [moved])
    require("translation", deviations(measured, expected), tolerance)


def assert_permutation_equivariant(
    force_field: ForceField, atoms: Atoms, *, tolerance: float = 1e-10, seed: int = 0
) -> None:
    """Atoms have no number: E(P r) = E(r), F(P r) = P F(r), σ(P r) = σ(r), also for atomic energies.

    Raises:
        AssertionError: if a relative error is above the tolerance.
    """
    order = np.random.default_rng(seed).permutation(len(atoms))
    if len(order) > 1 and (order == np.arange(len(order))).all():
        order = order[::-1].copy()  # the identity would test nothing
    one, measured = evaluate(force_field, [atoms]), evaluate(force_field, [atoms[order]])
    expected = one._replace(forces=one.forces[order], node_energy=one.node_energy[order])
    require("permutation", deviations(measured, expected), tolerance)


def equivariance_error(
    force_field: ForceField, graph: AtomGraph, seed: int = 0, *, parity: bool = True
) -> float:
    """Relative error of equivariance, in the precision of the graph and the model.

    With R an orthogonal matrix drawn at random, the largest over q = energy, atomic energies,
    forces, stress of

        max |q(R r) - R q(r)| / max |q(r)|.

    Args:
        force_field: any force field, in evaluation mode and in the dtype of the graph.
        graph: one structure or a batch; its neighbours are kept, positions and cells are turned.
        seed: draws R.
        parity: take the larger error of a rotation and of a rotation with inversion (O(3)), not
            of a rotation alone (SO(3)).
    """
    turns = [random_rotation(seed)] + ([random_rotation(seed, improper=True)] if parity else [])
    before, errors = force_field(graph), []
    for turn in turns:
        rotation = torch.as_tensor(turn, device=graph.pos.device)
        turned = graph.clone()
        turned.pos = (graph.pos.double() @ rotation.mT).to(graph.pos)
        turned.cell = (graph.cell.double() @ rotation.mT).to(graph.cell)
        tiny = torch.finfo(torch.float32).tiny
        errors += deviations(force_field(turned), _turned(before, rotation), floor=tiny).values()
    return max(errors)


def _assert_orthogonal(
    law: str, force_field: ForceField, atoms: Atoms, turn: np.ndarray, tolerance: float
) -> None:
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    expected = _turned(evaluate(force_field, [atoms]), torch.as_tensor(turn))
    require(law, deviations(evaluate(force_field, [turned]), expected), tolerance)


def _turned(prediction: EnergyForces, rotation: torch.Tensor) -> EnergyForces:
    """What a prediction must become, in float64, when the structure is turned."""
    rotation = rotation.to(prediction.forces.device)
    stress = prediction.stress
    return prediction._replace(
        forces=prediction.forces.double() @ rotation.mT,
        stress=None if stress is None else rotation @ stress.double() @ rotation.mT,
    )
