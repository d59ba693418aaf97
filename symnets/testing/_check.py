"""Check of a law: predictions in float64, their relative error, and the AssertionError above a tolerance."""

import copy
from collections.abc import Sequence

import torch
from ase import Atoms
from jaxtyping import Shaped
from torch import Tensor
from torch_geometric.data import Batch

from symnets.data import from_ase
from symnets.device import model_device
from symnets.models import EnergyForces, ForceField

FLOOR = 1e-3
"""Errors are relative to the largest component, or to this (in eV, eV/Å, eV/Å³) if this is larger."""


def in_precision(force_field: ForceField, dtype: torch.dtype) -> ForceField:
    """The force field in evaluation mode and a given dtype; a copy if it has another mode or dtype."""
    tensors = [*force_field.parameters(), *force_field.buffers()]
    if not force_field.training and all(t.dtype == dtype for t in tensors if t.is_floating_point()):
        return force_field
    return copy.deepcopy(force_field).to(dtype).eval()


def evaluate(
    force_field: ForceField, structures: Sequence[Atoms], *, dtype: torch.dtype = torch.float64
) -> EnergyForces:
    """Prediction for structures as one batch, with new neighbour lists, in float64 by default."""
    force_field = in_precision(force_field, dtype)
    # A copy has no calculator, whose results would become labels.
    graphs = [from_ase(atoms.copy(), force_field.cutoff, dtype=dtype) for atoms in structures]
    return force_field(Batch.from_data_list(graphs).to(model_device(force_field)))  # pyright: ignore


def deviation(
    measured: Shaped[Tensor, "..."], expected: Shaped[Tensor, "..."], *, floor: float = FLOOR
) -> float:
    """Relative error max |measured - expected| / max(max |expected|, floor); infinite if shapes differ."""
    if measured.shape != expected.shape:
        return float("inf")
    if expected.numel() == 0:
        return 0.0
    difference = (measured.double() - expected.double()).abs().max()
    return (difference / expected.double().abs().max().clamp(min=floor)).item()


def deviations(measured: EnergyForces, expected: EnergyForces, *, floor: float = FLOOR) -> dict[str, float]:
    """Relative error of each predicted quantity, infinite for quantities of different shapes.

    Stress is compared for the structures that have one, and its error is infinite if a structure has a stress
    in one prediction only. A stress that is NaN counts as none.
    """
    return {
        "energy": deviation(measured.energy, expected.energy, floor=floor),
        "atomic energies": deviation(measured.node_energy, expected.node_energy, floor=floor),
        "forces": deviation(measured.forces, expected.forces, floor=floor),
        "stress": _stress_deviation(measured.stress, expected.stress, floor),
    }


def _stress_deviation(
    measured: Shaped[Tensor, "..."] | None, expected: Shaped[Tensor, "..."] | None, floor: float
) -> float:
    if measured is None or expected is None or measured.shape != expected.shape:
        given = [stress for stress in (measured, expected) if stress is not None]
        return 0.0 if all(bool(stress.isnan().all()) for stress in given) else float("inf")
    missing, missing_too = (stress.isnan().flatten(1).all(dim=1) for stress in (measured, expected))
    if not torch.equal(missing, missing_too):
        return float("inf")
    return deviation(measured[~missing], expected[~missing], floor=floor)


def require(law: str, errors: dict[str, float], tolerance: float) -> None:
    """Raise AssertionError for the first error above the tolerance; NaN counts as above.

    The message states the law, the error and the tolerance.
    """
    for quantity, error in errors.items():
        if not error <= tolerance:
            raise AssertionError(
                f"the law '{law}' is broken: error of {quantity} {error:.3g}, tolerance {tolerance:.3g}"
            )
