"""Summary of one graph: what the statistics of a data set need, so that the graph need not be kept."""

from typing import NamedTuple

import numpy as np

from symnets.data._graph import LABELS, AtomGraph


class GraphSummary(NamedTuple):
    """Composition, number of edges, and sizes of the labels of one graph."""

    species: tuple[int, ...]
    """Atomic numbers present, in increasing order."""
    counts: tuple[int, ...]
    """Numbers of atoms of these species."""
    n_edges: int
    energy: float
    """eV; NaN without a label."""
    force_squares: float
    """Sum of the squares of labelled force components, (eV/Å)²."""
    force_components: int
    """Number of labelled force components."""
    extremes: dict[str, float]
    """One number for each label that the graph has, by name: the energy in eV, the largest magnitude of a
    force component in eV/Å, the largest magnitude of a stress component in eV/Å³."""
    weight: float
    """Weight in the loss."""
    has_stress: bool
    """Whether the structure has a stress, labelled or not."""

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return sum(self.counts)

    @classmethod
    def of(cls, graph: AtomGraph) -> "GraphSummary":
        """Summary of a graph of a single structure."""
        species, counts = np.unique(graph.z.cpu().numpy(), return_counts=True)
        labels = {name: graph[name].double().cpu().numpy() for name in LABELS if name in graph}
        labels = {name: value for name, value in labels.items() if not np.isnan(value).all()}
        forces = labels.get("forces", np.empty(0))
        extremes = {name: float(np.nanmax(np.abs(value))) for name, value in labels.items()}
        if "energy" in labels:
            extremes["energy"] = labels["energy"].item()
        return cls(
            species=tuple(species.tolist()),
            counts=tuple(counts.tolist()),
            n_edges=graph.edge_index.shape[1],
            energy=extremes.get("energy", np.nan),
            force_squares=float(np.nansum(forces**2)),
            force_components=int((~np.isnan(forces)).sum()),
            extremes=extremes,
            weight=graph.weight.item() if "weight" in graph else 1.0,
            has_stress=bool(graph.has_stress.all()),
        )
