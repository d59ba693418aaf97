"""Statistics of a labelled data set, from which a model takes its shift, scale and normalisation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from jaxtyping import Float
from torch import Tensor

from symnets.data._graph import AtomGraph
from symnets.data._structures import read_labels


@dataclass(frozen=True)
class Statistics:
    """Statistics of training data that a model needs before training."""

    species: tuple[int, ...]
    """Atomic numbers present, in increasing order."""
    energies: tuple[float, ...]
    """Energy of an atom of each species, in eV."""
    cohesion: float
    """Mean over structures of (E - sum of `energies`) / atoms, in eV: the bonding energy if `energies` are
    those of isolated atoms, nearly zero if they are a least-squares fit."""
    force_rms: float
    """Root mean square of the force components, in eV/Å; NaN without forces."""
    mean_neighbors: float
    """Mean number of neighbours of an atom."""
    n_structures: int
    n_atoms: int
    """Total number of atoms."""
    rank: int
    """Rank of the matrix of compositions. If it is below `len(species)`, for example because all structures
    have one formula, the data determine only combinations of `energies`; these are the solution of smallest
    norm."""
    source: str
    """Origin of `energies`: "least squares" or "isolated atoms"."""

    def reference_energy(self, graph: AtomGraph) -> Float[Tensor, " graphs"]:
        """Sum of `energies` over the atoms of each structure in eV, float64."""
        table = torch.full((max(self.species) + 1,), torch.nan, dtype=torch.float64)
        table[list(self.species)] = torch.tensor(self.energies, dtype=torch.float64)
        atomic = table.to(graph.z.device)[graph.z]
        return atomic.new_zeros(graph.n_graphs).index_add(0, graph.owner, atomic)


def statistics(graphs: Sequence[AtomGraph], *, isolated: Mapping[int, float] | None = None) -> Statistics:
    """Compute the statistics of labelled graphs.

    Without `isolated`, the energies e of the species solve, in float64 and with E the energies and
    N the numbers of atoms of each species in each structure,

        min_e |N e - E|²,   and |e|² least among the solutions.

    Structures without energy (NaN) and components without force are not counted.

    Args:
        graphs: training data.
        isolated: energies in eV of isolated atoms, by atomic number; see `isolated_atoms`.

    Raises:
        ValueError: no graph, no energy at all, or a species missing from `isolated`.
    """
    if not graphs:
        raise ValueError("graphs: expected at least one, got none")
    z = [graph.z.cpu().numpy() for graph in graphs]
    species, columns = np.unique(np.concatenate(z), return_inverse=True)
    rows = np.repeat(np.arange(len(graphs)), [len(numbers) for numbers in z])
    composition = np.zeros((len(graphs), len(species)))
    np.add.at(composition, (rows, columns), 1.0)

    totals = np.array([np.nan if "energy" not in graph else graph.energy.item() for graph in graphs])
    known = np.isfinite(totals)

    if isolated is not None:
        missing = [chemical_symbols[number] for number in species if int(number) not in isolated]
        if missing:
            raise ValueError(f"isolated: no energy for {', '.join(missing)}, which the structures contain")
        energies, source = np.array([isolated[int(number)] for number in species]), "isolated atoms"
    else:
        if not known.any():
            raise ValueError("graphs: no structure has an energy; pass its key as energy_key when reading")
        energies, source = np.linalg.lstsq(composition[known], totals[known])[0], "least squares"

    bonding = (totals - composition @ energies)[known] / composition[known].sum(1)
    forces = [graph.forces.double().flatten() for graph in graphs if "forces" in graph]
    squares = torch.cat(forces).square() if forces else torch.empty(0)
    n_atoms = len(rows)
    return Statistics(
        species=tuple(species.tolist()),
        energies=tuple(energies.tolist()),
        cohesion=float(bonding.mean()) if known.any() else 0.0,
        force_rms=squares.nanmean().sqrt().item(),
        mean_neighbors=sum(graph.edge_index.shape[1] for graph in graphs) / n_atoms,
        n_structures=len(graphs),
        n_atoms=n_atoms,
        rank=int(np.linalg.matrix_rank(composition if isolated is not None else composition[known])),
        source=source,
    )


def isolated_atoms(structures: Iterable[Atoms]) -> dict[int, float]:
    """Energies in eV of the isolated atoms among structures, by atomic number; other structures are ignored.

    Raises:
        ValueError: two energies for one species.
    """
    energies: dict[int, float] = {}
    for atoms in structures:
        if len(atoms) != 1 or atoms.pbc.any() or "energy" not in (labels := read_labels(atoms)):
            continue
        number, energy = int(atoms.numbers[0]), float(labels["energy"][0])
        if abs(energies.setdefault(number, energy) - energy) > 1e-6:
            raise ValueError(
                f"structures: two energies for an isolated {chemical_symbols[number]} atom: "
                f"{energies[number]} and {energy} eV"
            )
    return energies
