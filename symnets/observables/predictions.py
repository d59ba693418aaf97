"""Predictions: what a force field says of labelled structures, next to their labels."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from symnets.data.graph import AtomGraph, Labels
from symnets.observables.as_found import as_found


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
