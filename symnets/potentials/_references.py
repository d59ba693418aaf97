"""Reference energies of a new level of theory: the shifts of a foundation model fitted to other data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols

from symnets.data import AtomGraph, Statistics, from_ase
from symnets.models import ForceField, energy_network
from symnets.nn import AtomicEnergy
from symnets.potentials._finetune_config import References

_MAX_STRUCTURES = 200
"""Largest number of structures whose residuals are computed, apart from those added for rare species."""


@dataclass(frozen=True)
class ReferenceShifts:
    """Energies that are added to each atom of a species, to adapt a model to another level of theory."""

    shifts: dict[int, float]
    """Shifts in eV, by atomic number; other species keep their reference energies."""
    method: str
    """How the shifts were determined, in words."""
    warnings: tuple[str, ...] = ()
    """Sentences on shifts that the data do not determine."""

    @property
    def line(self) -> str:
        """The shifts of all species as one line of text."""
        shifts = ", ".join(f"{chemical_symbols[z]} {shift:+.3f}" for z, shift in self.shifts.items())
        return f"{shifts or 'no shift'}{' eV' if shifts else ''} ({self.method})"


def reference_shifts(
    references: References, force_field: ForceField, graphs: Sequence[AtomGraph], stats: Statistics
) -> ReferenceShifts:
    """Shifts of a foundation model's reference energies to the level of theory of some data.

    For `residuals` the shifts e_s of the species s solve

        min_e Σ_g ((E_g - E'_g - Σ_s N_gs e_s) / n_g)²,   and |e|² least among the solutions,

    where structure g has the label E_g, the energy E'_g by the model, and N_gs atoms of species s, n_g in
    total. For `isolated atoms`, e_s is the label of an isolated atom minus the energy of a lone atom by the
    model. All energies are in eV.

    Args:
        references: see `FinetuneConfig`.
        force_field: the foundation model.
        graphs: training structures; 200 of them are used, and some with the species that these lack.
        stats: statistics of `graphs`, with the energies of isolated atoms if they are known.

    Raises:
        ValueError: `references` is "isolated atoms", but the data have none.
    """
    isolated = stats.source == "isolated atoms"
    if references == "keep":
        return ReferenceShifts({}, "kept as in the foundation model")
    if references == "isolated atoms":
        if not isolated:
            raise ValueError(
                "finetune.references: expected isolated atoms in the data (config_type=IsolatedAtom), or "
                "their file as data.isolated_atoms, got none; residuals needs none"
            )
        shifts = {
            z: energy - _lone_atom(force_field, z)
            for z, energy in zip(stats.species, stats.energies, strict=True)
        }
        return ReferenceShifts(shifts, "isolated atoms of the data")
    chosen = _evenly_spaced(graphs, stats.species)
    energies = [float(graph.energy) if "energy" in graph else np.nan for graph in chosen]
    known = [index for index, energy in enumerate(energies) if np.isfinite(energy)]
    if not known:
        return ReferenceShifts({}, "kept as in the foundation model, since the data have no energies")
    numbers = np.array([[int((chosen[i].z == z).sum()) for z in stats.species] for i in known], dtype=float)
    residuals = np.array([energies[i] - _energy(force_field, chosen[i]) for i in known])
    n_atoms = numbers.sum(1)
    composition = numbers / n_atoms[:, None]
    shifts, *_ = np.linalg.lstsq(composition, residuals / n_atoms)
    rank = int(np.linalg.matrix_rank(composition, tol=1e-6))
    warnings = ["the isolated atoms of the data are not used for the references"] if isolated else []
    if rank < len(stats.species):
        warnings.append(
            f"the training structures' formulas determine only {rank} combination{'' if rank == 1 else 's'} "
            f"of the reference energies of {len(stats.species)} species, which are shifted as little as "
            "possible; energies of other formulas may be off by some constant"
        )
    method = f"least squares of the residuals of {len(known)} structures"
    return ReferenceShifts(dict(zip(stats.species, shifts.tolist(), strict=True)), method, tuple(warnings))


@torch.no_grad()
def add_shifts(atomic_energy: AtomicEnergy, species: Sequence[int], shifts: Mapping[int, float]) -> None:
    """Add shifts in eV, by atomic number, to the reference energies of a model of these species."""
    for number, shift in shifts.items():
        atomic_energy.shift[list(species).index(number)] += shift


def _evenly_spaced(graphs: Sequence[AtomGraph], species: Sequence[int]) -> list[AtomGraph]:
    """Graphs at equal distances in the sequence, and the first one with each species that these lack."""
    indices = np.unique(
        np.linspace(0, len(graphs) - 1, min(_MAX_STRUCTURES, len(graphs))).round().astype(int)
    )
    chosen = [graphs[int(index)] for index in indices]
    missing = set(species) - {int(z) for graph in chosen for z in graph.z.unique()}
    index = 0
    while missing and index < len(graphs):
        graph, index = graphs[index], index + 1
        if found := missing & set(graph.z.tolist()):
            missing -= found
            chosen.append(graph)
    return chosen


@torch.no_grad()
def _energy(force_field: ForceField, graph: AtomGraph) -> float:
    device = energy_network(force_field.energy_model).atomic_energy.shift.device
    return float(force_field.energy_model(graph.clone().to(str(device))).double().sum())


def _lone_atom(force_field: ForceField, number: int) -> float:
    dtype = next(p.dtype for p in force_field.parameters() if p.is_floating_point())
    return _energy(force_field, from_ase(Atoms(numbers=[number]), force_field.cutoff, dtype=dtype))
