"""Points of a tangent kernel: rows of a tensor, or graphs of a batch."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import AtomGraph

_PER_GRAPH = ("cell", "pbc", "energy", "stress")


def n_points(x: Any) -> int:
    """Number of rows of a tensor, or of graphs of a batch."""
    return x.n_graphs if isinstance(x, AtomGraph) else len(x)


def take_points(x: Any, points: slice) -> Any:
    """Some of the rows of a tensor, or of the graphs of a batch."""
    return _graphs(x, points) if isinstance(x, AtomGraph) else x[points]


def graph_energies(outputs: Tensor, graph: AtomGraph) -> Float[Tensor, "graphs ..."]:
    """Outputs of graphs, summed over atoms in float64 if there is one for each atom."""
    if outputs.ndim != 1 or len(outputs) != len(graph.pos):
        return outputs
    energies = outputs.double()
    return energies.new_zeros(graph.n_graphs).index_add(0, graph.owner, energies)


def _graphs(graph: AtomGraph, points: slice) -> AtomGraph:
    start, stop, _ = points.indices(graph.n_graphs)
    if (start, stop) == (0, graph.n_graphs):
        return graph
    owner = graph.owner
    atoms = (owner >= start) & (owner < stop)
    edges = atoms[graph.edge_index[1]]
    number = torch.cumsum(atoms, 0) - 1
    fields: dict[str, Any] = {}
    for name, value in graph.to_dict().items():
        if name == "edge_index":
            fields[name] = number[value[:, edges]]
        elif name == "batch":
            fields[name] = value[atoms] - start
        elif name == "ptr":
            fields[name] = value[start : stop + 1] - value[start]
        elif not isinstance(value, Tensor):
            fields[name] = value
        elif name in _PER_GRAPH or len(value) == graph.n_graphs != len(atoms):
            fields[name] = value[start:stop]
        elif len(value) == len(atoms):
            fields[name] = value[atoms]
        else:
            fields[name] = value[edges] if len(value) == len(edges) else value
    return AtomGraph(**fields)
