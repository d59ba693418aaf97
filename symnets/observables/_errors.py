"""Predictions of a force field and their errors: MAE and RMSE of energies, forces and stress."""

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
from symnets.device import model_device
from symnets.observables._as_found import as_found, copy_inputs


@dataclass(frozen=True)
class Predictions:
    """Predictions and labels of structures, in the order of the loader.

    Missing labels are NaN, and so are stress and stress label of structures that have no stress, see
    `symnets.data.has_stress`. NaN predictions of the model are kept, see `finite`.
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
        """Index of the structure of each atom."""
        return np.repeat(np.arange(len(self.n_atoms)), self.n_atoms)

    @property
    def finite(self) -> Bool[ndarray, " structures"]:
        """Whether the predicted energy and the forces on all atoms of a structure are finite."""
        bad_atoms = ~np.isfinite(self.forces).all(axis=1)
        n_bad = np.bincount(self.owner, weights=bad_atoms, minlength=len(self.n_atoms))
        return np.isfinite(self.energy) & (n_bad == 0)


def predictions(model: nn.Module, loader: Iterable[tuple[AtomGraph, Labels]]) -> Predictions:
    """Predictions of a model for every structure of a loader, next to the labels.

    The model is evaluated in eval mode; its modes, its weights and torch's random state are left as found.

    Args:
        model: `ForceField`, or any module that returns `EnergyForces`.
        loader: batches `(graph, labels)`, as from a `symnets.data.Loader`; iterated once. Batches are moved
            to the device of the model's parameters.

    Raises:
        ValueError: the loader is empty.
    """
    device = model_device(model)
    with as_found(model):
        model.eval()
        batches = [_predict(model, graph, labels, device) for graph, labels in loader]
    if not batches:
        raise ValueError("loader: expected at least one structure, got an empty loader")
    return Predictions(*(torch.cat(column).numpy() for column in zip(*batches, strict=True)))


def _predict(model: nn.Module, graph: AtomGraph, labels: Labels, device: torch.device) -> tuple[Tensor, ...]:
    """Predictions and labels of one batch, in the order of the fields of `Predictions`."""
    output = model(copy_inputs(graph).to(str(device)))
    has_stress = graph.has_stress.cpu()[:, None, None]
    no_energy = torch.full((graph.n_graphs,), torch.nan, dtype=torch.float64, device="cpu")
    no_stress = torch.full((graph.n_graphs, 3, 3), torch.nan, dtype=graph.pos.dtype, device="cpu")
    no_forces = torch.full_like(graph.pos, torch.nan)

    def on_cpu(values: Tensor | None, default: Tensor) -> Tensor:
        return (default if values is None else values).detach().cpu()

    return (
        on_cpu(output.energy, no_energy).double(),
        on_cpu(labels.energy, no_energy).double(),
        on_cpu(output.forces, no_forces),
        on_cpu(labels.forces, no_forces),
        on_cpu(output.stress, no_stress).where(has_stress, torch.nan),
        on_cpu(labels.stress, no_stress).where(has_stress, torch.nan),
        graph.z.cpu(),
        graph.n_atoms.cpu(),
    )


@dataclass(frozen=True)
class Error:
    """MAE and RMSE of n differences δ = prediction - label, in the unit of the quantity."""

    mae: float
    """Mean of |δ|."""
    rmse: float
    """Square root of the mean of δ²."""
    n: int
    """Number of labels compared: structures, force components or stress components."""

    @classmethod
    def of(cls, difference: ndarray) -> Self | None:
        """Error of an array of differences; None if it is empty."""
        if difference.size == 0:
            return None
        mae, rmse = np.abs(difference).mean(), np.sqrt((difference**2).mean())
        return cls(float(mae), float(rmse), int(difference.size))


@dataclass(frozen=True)
class Errors:
    """Errors of energies, forces and stress over a set of structures; None for quantities without labels."""

    n_structures: int
    """Structures predicted, labelled or not."""
    n_atoms: int
    """Atoms predicted, labelled or not."""
    energy: Error | None
    """Total energy of a structure, eV."""
    energy_per_atom: Error | None
    """Total energy divided by the number of atoms, eV/atom."""
    energy_shifted: Error | None
    """Total energy after subtraction of the mean error, eV: the relevant error for scans and barriers, where
    only differences of energy matter. None for fewer than two structures."""
    energy_bias: float | None
    """Mean error of the total energy, mean of prediction - label, eV."""
    forces: Error | None
    """Components of forces, eV/Å: RMSE is sqrt(mean over atoms and 3 components)."""
    forces_by_species: dict[str, Error]
    """Components of forces on the atoms of each element, by chemical symbol, eV/Å; empty without labels."""
    stress: Error | None
    """The nine components of stress, eV/Å³, over structures that have one."""


def errors(predicted: Predictions) -> Errors:
    """MAE and RMSE of predicted energies, forces and stress: `errors(predictions(model, loader))`.

    NaN labels are skipped; a NaN prediction makes the error NaN.
    """
    energy_labelled = ~np.isnan(predicted.energy_label)
    energy = (predicted.energy - predicted.energy_label)[energy_labelled]
    forces_labelled = ~np.isnan(predicted.forces_label)
    forces = predicted.forces.astype(np.float64) - predicted.forces_label
    stress_labelled = ~np.isnan(predicted.stress_label)
    stress = predicted.stress.astype(np.float64) - predicted.stress_label

    by_species = {}
    for number in np.unique(predicted.species):
        of_species = predicted.species == number
        if (error := Error.of(forces[of_species][forces_labelled[of_species]])) is not None:
            by_species[chemical_symbols[number]] = error

    bias = float(energy.mean()) if energy.size else None
    return Errors(
        n_structures=len(predicted.n_atoms),
        n_atoms=len(predicted.species),
        energy=Error.of(energy),
        energy_per_atom=Error.of(energy / predicted.n_atoms[energy_labelled]),
        energy_shifted=Error.of(energy - bias) if bias is not None and energy.size > 1 else None,
        energy_bias=bias,
        forces=Error.of(forces[forces_labelled]),
        forces_by_species=by_species,
        stress=Error.of(stress[stress_labelled]),
    )
