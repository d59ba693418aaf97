"""Check of a law: predictions in float64, their relative error, and the AssertionError above a tolerance."""

import copy
from collections.abc import Sequence

import torch
from ase import Atoms
from jaxtyping import Shaped
from torch import Tensor, nn
from torch_geometric.data import Batch

from symnets.data import from_ase
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
    return force_field(Batch.from_data_list(graphs).to(device_of(force_field)))  # pyright: ignore


def device_of(module: nn.Module) -> torch.device:
    """Device of the parameters of a module; the CPU if it has none."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))


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
    """Relative error of each predicted quantity, without stress that is NaN in both (no volume)."""
    errors = {
        "energy": deviation(measured.energy, expected.energy, floor=floor),
        "atomic energies": deviation(measured.node_energy, expected.node_energy, floor=floor),
        "forces": deviation(measured.forces, expected.forces, floor=floor),
    }
    if measured.stress is not None and expected.stress is not None:
        no_volume = (measured.stress.isnan() & expected.stress.isnan()).flatten(1).all(dim=1)
        errors["stress"] = deviation(measured.stress[~no_volume], expected.stress[~no_volume], floor=floor)
    return errors


def require(law: str, errors: dict[str, float], tolerance: float) -> None:
    """Raise AssertionError for the first error above the tolerance; NaN counts as above.

    The message states the law, the error and the tolerance.
    """
    for quantity, error in errors.items():
        if not error <= tolerance:
            raise AssertionError(
                f"the law '{law}' is broken: error of {quantity} {error:.3g}, tolerance {tolerance:.3g}"
            )
