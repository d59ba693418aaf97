"""Statistics of a labelled data set, from which a model takes its shift, scale and normalisation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from jaxtyping import Float
from torch import Tensor

from symnets.data._frame_labels import count_labels, is_isolated_atom
from symnets.data._graph import LABELS, AtomGraph, read_labels
from symnets.data._graph_summary import GraphSummary
from symnets.data._neighbors import neighbors

_MAX_STRESS = 3.0  # eV/Å³, 480 GPa: more than the pressure in the centre of the Earth
_MIN_STRESS = 5e-5  # eV/Å³, 8 MPa: the largest component in a whole data set should be above this
_MAX_FORCE = 300.0  # eV/Å
_SMALL_FORCE = 0.1  # eV/Å
_MAX_ENERGY = 1000.0  # eV per atom above zero
_DEEPEST = 25.0  # eV: no neutral atom has an energy below -25 eV Z^(7/3); Thomas and Fermi's model has 20.9


@dataclass(frozen=True)
class Statistics:
    """Statistics of training data that a model needs before training."""

    species: tuple[int, ...]
    """Atomic numbers present, in increasing order."""
    energies: tuple[float, ...]
    """Reference energy of an atom of each species, in eV."""
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
    """Origin of `energies`: "least squares", "isolated atoms", or "no energies", which are then zero."""
    labelled: Mapping[str, int] = field(default_factory=dict)
    """Numbers of structures with energy, forces and stress."""
    label_weights: Mapping[str, float] = field(default_factory=dict)
    """Sums of the weights of the structures with energy, forces and stress; their numbers without weights."""
    n_with_stress: int = 0
    """Number of structures that have a stress, labelled or not."""
    suspicious: tuple[str, ...] = ()
    """Sentences on labels whose size suggests a wrong unit, see `suspicious_labels`."""
    notes: tuple[str, ...] = ()
    """Sentences on structures that were set aside or weighted when the data were read."""
    duplicates: tuple[str, ...] = ()
    """Sentences on validation structures that are also in the training data."""

    def reference_energy(self, graph: AtomGraph) -> Float[Tensor, " graphs"]:
        """Sum of `energies` over the atoms of each structure in eV, float64."""
        table = torch.full((max(self.species) + 1,), torch.nan, dtype=torch.float64)
        table[list(self.species)] = torch.tensor(self.energies, dtype=torch.float64)
        atomic = table.to(graph.z.device)[graph.z]
        return atomic.new_zeros(graph.n_graphs).index_add(0, graph.owner, atomic)


def statistics(graphs: Sequence[AtomGraph], *, isolated: Mapping[int, float] | None = None) -> Statistics:
    """Compute the statistics of labelled graphs.

    Without `isolated`, the reference energies e of the species solve, in float64,

        min_e |N e - E|²,   with the smallest |e|² if there are several solutions,

    where E are the energies of the structures in eV, and N (structures, species) their numbers of atoms of
    each species. Structures without energy (NaN) and force components without label are left out. If no
    structure has an energy, the reference energies are zero.

    Args:
        graphs: training data.
        isolated: energies in eV of isolated atoms, by atomic number; see `isolated_atoms`.

    Raises:
        ValueError: no graph, or a species missing from `isolated`.
    """
    return statistics_of_summaries([GraphSummary.of(graph) for graph in graphs], isolated=isolated)


def statistics_of_summaries(
    graphs: Sequence[GraphSummary], *, isolated: Mapping[int, float] | None = None
) -> Statistics:
    """Compute the statistics of labelled graphs from their summaries, see `statistics`.

    Args:
        graphs: summary of each graph.
        isolated: energies of isolated atoms in eV, by atomic number; None for a least-squares fit.

    Raises:
        ValueError: there are no graphs, or `isolated` lacks a species.
    """
    if not graphs:
        raise ValueError("graphs: expected at least one, got none")
    species = np.array(sorted({number for graph in graphs for number in graph.species}))
    column = {int(number): index for index, number in enumerate(species)}
    composition = np.zeros((len(graphs), len(species)))
    for row, graph in zip(composition, graphs, strict=True):
        row[[column[number] for number in graph.species]] = graph.counts

    totals = np.array([graph.energy for graph in graphs])
    known = np.isfinite(totals)

    if isolated is not None:
        missing = [chemical_symbols[number] for number in species if int(number) not in isolated]
        if missing:
            raise ValueError(f"isolated: no energy for {', '.join(missing)}, which the structures contain")
        energies, source = np.array([isolated[int(number)] for number in species]), "isolated atoms"
    elif not known.any():
        energies, source = np.zeros(len(species)), "no energies"
    else:
        energies, source = np.linalg.lstsq(composition[known], totals[known])[0], "least squares"

    bonding = (totals - composition @ energies)[known] / composition[known].sum(1)
    n_atoms, n_components = int(composition.sum()), sum(graph.force_components for graph in graphs)
    squares = float(np.sum([graph.force_squares for graph in graphs]))
    labels = [graph.extremes for graph in graphs]
    return Statistics(
        species=tuple(species.tolist()),
        energies=tuple(energies.tolist()),
        cohesion=float(bonding.mean()) if known.any() else 0.0,
        force_rms=float(np.sqrt(squares / n_components)) if n_components else float("nan"),
        mean_neighbors=sum(graph.n_edges for graph in graphs) / n_atoms,
        n_structures=len(graphs),
        n_atoms=n_atoms,
        rank=int(np.linalg.matrix_rank(composition if isolated is not None else composition[known])),
        source=source,
        labelled=count_labels(labels),
        label_weights={
            name: float(sum(graph.weight for graph in graphs if name in graph.extremes)) for name in LABELS
        },
        n_with_stress=sum(graph.has_stress for graph in graphs),
        suspicious=tuple(
            _suspicious(
                [np.repeat(graph.species, graph.counts) for graph in graphs],
                [{name: np.array([size]) for name, size in found.items()} for found in labels],
            )
        ),
    )


def suspicious_labels(structures: Sequence[Atoms], names: Sequence[str] | None = None) -> list[str]:
    """Sentences on labels whose size is implausible in eV and Å, with the index or name of the worst."""
    labels = [read_labels(atoms) for atoms in structures]
    names = names or [f"structure {index}" for index in range(len(structures))]
    return _suspicious([atoms.numbers for atoms in structures], labels, names=names)


def _suspicious(
    numbers: Sequence[np.ndarray],
    labels: Sequence[Mapping[str, np.ndarray]],
    *,
    names: Sequence[str] | None = None,
) -> list[str]:
    sizes, limits = {"energy": [], "forces": [], "stress": []}, []
    for z, known in zip(numbers, labels, strict=True):
        for name, values in sizes.items():
            value = known.get(name, np.zeros(1)) / (len(z) if name == "energy" else 1)
            values.append(float(np.nanmax(np.abs(value))))
        deepest = _DEEPEST * float((np.asarray(z, dtype=np.float64) ** (7 / 3)).mean())
        limits.append(max(_MAX_ENERGY, deepest) if known.get("energy", np.zeros(1))[0] > 0 else deepest)
    sentences = []
    for name, limit, unit, cure in (
        ("energy", np.array(limits), "eV per atom", "it may be in another unit"),
        ("forces", _MAX_FORCE, "eV/Å", "they may be in another unit"),
        (
            "stress",
            _MAX_STRESS,
            "eV/Å³",
            "it may be in kbar or GPa, or a virial in eV: see stress_convention and virial_key",
        ),
    ):
        size = np.array(sizes[name])
        beyond = np.flatnonzero(size > limit)
        if len(beyond):
            worst = beyond[size[beyond].argmax()]
            where = f" in {names[worst]}" if names else ""
            sentences.append(
                f"{name} of implausible size in {len(beyond)} of {len(size)} structures, up to "
                f"{size[worst]:.4g} {unit}{where}: {cure}"
            )
    largest = max(
        (size for size, known in zip(sizes["stress"], labels, strict=True) if "stress" in known), default=1.0
    )
    if largest < _MIN_STRESS and max(sizes["forces"]) > _SMALL_FORCE:
        sentences.append(
            f"stress below {_MIN_STRESS:g} eV/Å³ in all structures, though forces are not small: it may be "
            "absent or converted twice, see stress_convention"
        )
    return sentences


def isolated_atoms(structures: Iterable[Atoms], *, cutoff: float = 6.0) -> dict[int, float]:
    """Energies in eV of the isolated atoms among structures, by atomic number; other structures are ignored.

    A single atom is isolated if no periodic image is within the cutoff, or if it is marked as such, see
    `is_isolated_atom`.

    Args:
        structures: structures with labels.
        cutoff: distance in Å within which an isolated atom has no periodic image.

    Raises:
        ValueError: two energies for one species.
    """
    energies: dict[int, float] = {}
    for atoms in structures:
        if len(atoms) != 1 or "energy" not in (labels := read_labels(atoms)):
            continue
        if not is_isolated_atom(atoms):
            edges = neighbors(atoms.positions, atoms.cell.array, atoms.pbc, cutoff).edge_index
            if edges.shape[1]:
                continue
        number, energy = int(atoms.numbers[0]), float(labels["energy"][0])
        if abs(energies.setdefault(number, energy) - energy) > 1e-6:
            raise ValueError(
                f"structures: two energies for an isolated {chemical_symbols[number]} atom: "
                f"{energies[number]} and {energy} eV"
            )
    return energies
