"""Errors of a force field: MAE and RMSE of energies, forces and stress."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from ase.data import chemical_symbols
from numpy import ndarray

from symnets.observables.predictions import Predictions


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
