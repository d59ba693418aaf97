"""Predictions: what a force field says of labelled structures, next to their labels.

Errors of a force field: MAE and RMSE of energies, forces and stress.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from ase.data import chemical_symbols
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from symnets.data import AtomGraph, Labels
from symnets.observables._as_found import as_found


@dataclass(frozen=True)
class Predictions:
    """Predictions and labels of structures, in the order in which the loader gave them.

    NaN marks a label that is not there, and everything about the stress of a structure that is not
    periodic. A NaN that the model itself returned stays where it is, see `finite`.
    """

    energy: Float[ndarray, " structures"]
    """Predicted total energy, eV, float64."""
    energy_label: Float[ndarray, " structures"]
    """Labelled total energy, eV, float64."""
    forces: Float[ndarray, "atoms 3"]
    """Predicted forces, eV/Å."""
    forces_label: Float[ndarray, "atoms 3"]
    """Labelled forces, eV/Å."""
    stress: Float[ndarray, "structures 3 3"]
    """Predicted stress, eV/Å³."""
    stress_label: Float[ndarray, "structures 3 3"]
    """Labelled stress, eV/Å³."""
    species: Int[ndarray, " atoms"]
    """Atomic number of each atom."""
    n_atoms: Int[ndarray, " structures"]
    """Number of atoms of each structure."""

    @property
    def owner(self) -> Int[ndarray, " atoms"]:
        """Structure each atom belongs to."""
        return np.repeat(np.arange(len(self.n_atoms)), self.n_atoms)

    @property
    def finite(self) -> Bool[ndarray, " structures"]:
        """Whether the model returned numbers: finite energy and finite forces on every atom."""
        bad_atoms = ~np.isfinite(self.forces).all(axis=1)
        n_bad = np.bincount(self.owner, weights=bad_atoms, minlength=len(self.n_atoms))
        return np.isfinite(self.energy) & (n_bad == 0)


def predictions(model: nn.Module, loader: Iterable[tuple[AtomGraph, Labels]]) -> Predictions:
    """Predicts every structure of a loader.

    The model's train or eval mode, its weights and torch's random state are left as found.

    Args:
        model: `ForceField`, or any module that returns `EnergyForces`.
        loader: batches `(graph, labels)`, such as a `symnets.data.Loader` gives; gone through once.
            Batches are moved to the device of the model's parameters.

    Raises:
        ValueError: the loader is empty.
    """
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with as_found(model):
        model.eval()
        batches = [_predict(model, graph, labels, device) for graph, labels in loader]
    if not batches:
        raise ValueError("predictions: expected at least one structure, the loader is empty")
    return Predictions(*(torch.cat(column).numpy() for column in zip(*batches, strict=True)))


def _predict(model: nn.Module, graph: AtomGraph, labels: Labels, device: torch.device) -> tuple[Tensor, ...]:
    """One batch, as the fields of `Predictions`."""
    output = model(copy.copy(graph).to(str(device)))  # a copy: PyG moves graphs in place
    periodic = graph.pbc.any(dim=1).cpu()[:, None, None]
    missing = torch.full((graph.n_graphs, 3, 3), torch.nan, dtype=graph.pos.dtype)
    absent = torch.full_like(graph.pos, torch.nan)

    def ready(values: Tensor | None, otherwise: Tensor) -> Tensor:
        return (otherwise if values is None else values).detach().cpu()

    return (
        ready(output.energy, missing).double(),
        ready(labels.energy, missing).double(),
        ready(output.forces, absent),
        ready(labels.forces, absent),
        ready(output.stress, missing).where(periodic, torch.nan),
        ready(labels.stress, missing).where(periodic, torch.nan),
        graph.z.cpu(),
        graph.n_atoms.cpu(),
    )


@dataclass(frozen=True)
class Error:
    """Error of n numbers, δ = prediction - label, in the unit of the quantity."""

    mae: float
    """Mean of |δ|."""
    rmse: float
    """Square root of the mean of δ²."""
    n: int
    """How many labelled numbers were compared: structures, force components or stress components."""

    @classmethod
    def of(cls, difference: ndarray) -> Self | None:
        """Error of an array of differences; None if it is empty."""
        if difference.size == 0:
            return None
        mae, rmse = np.abs(difference).mean(), np.sqrt((difference**2).mean())
        return cls(float(mae), float(rmse), int(difference.size))


@dataclass(frozen=True)
class Errors:
    """Errors over a set of structures; a quantity that was never labelled is None."""

    n_structures: int
    """Structures predicted, labelled or not."""
    n_atoms: int
    """Atoms predicted, labelled or not."""
    energy: Error | None
    """Total energy of a structure, eV."""
    energy_per_atom: Error | None
    """Total energy divided by the number of atoms, eV/atom."""
    energy_shifted: Error | None
    """Total energy after the mean error is removed, eV: what a constant offset cannot explain. The
    measure for scans and barriers, where only differences of energy matter. None below two structures."""
    energy_bias: float | None
    """That mean error, eV: mean of prediction - label."""
    forces: Error | None
    """Components of forces, eV/Å: RMSE is sqrt(mean over atoms and 3 components)."""
    forces_by_species: dict[str, Error]
    """The same over the atoms of each element, by chemical symbol; empty without labels."""
    stress: Error | None
    """The nine components of stress, eV/Å³, over periodic structures."""


def errors(predicted: Predictions) -> Errors:
    """Errors of predictions, for example `errors(predictions(model, loader))`.

    NaN labels are skipped; a prediction that is NaN makes the error NaN.
    """
    energy_known = ~np.isnan(predicted.energy_label)
    energy = (predicted.energy - predicted.energy_label)[energy_known]
    forces_known = ~np.isnan(predicted.forces_label)
    forces = predicted.forces.astype(np.float64) - predicted.forces_label
    stress_known = ~np.isnan(predicted.stress_label)
    stress = predicted.stress.astype(np.float64) - predicted.stress_label

    by_species = {}
    for number in np.unique(predicted.species):
        mine = predicted.species == number
        if (error := Error.of(forces[mine][forces_known[mine]])) is not None:
            by_species[chemical_symbols[number]] = error

    bias = float(energy.mean()) if energy.size else None
    return Errors(
        n_structures=len(predicted.n_atoms),
        n_atoms=len(predicted.species),
        energy=Error.of(energy),
        energy_per_atom=Error.of(energy / predicted.n_atoms[energy_known]),
        energy_shifted=Error.of(energy - bias) if bias is not None and energy.size > 1 else None,
        energy_bias=bias,
        forces=Error.of(forces[forces_known]),
        forces_by_species=by_species,
        stress=Error.of(stress[stress_known]),
    )
