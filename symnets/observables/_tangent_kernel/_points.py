"""Points of a tangent kernel: rows of a tensor, or graphs of a batch."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_PER_GRAPH = ("cell", "pbc", "energy", "stress")


def n_points(x: Any) -> int:
    """Number of rows of a tensor, or of graphs of a batch."""
    return len(x) if isinstance(x, Tensor) else x.n_graphs


def take_points(x: Any, points: slice | Int[Tensor, " chosen"]) -> Any:
    """Some of the rows of a tensor, or of the graphs of a batch; graphs keep their order."""
    return x[points] if isinstance(x, Tensor) else _graphs(x, points)


def ranges(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` numbers that cover 0, ..., n - 1."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def graph_energies(outputs: Tensor, graph: Any) -> Float[Tensor, "graphs ..."]:
    """Outputs of graphs, summed over atoms in float64 if there is one for each atom."""
    if outputs.ndim != 1 or len(outputs) != len(graph.pos):
        return outputs
    energies = outputs.double()
    return energies.new_zeros(graph.n_graphs).index_add(0, graph.owner, energies)


def _graphs(graph: Any, points: slice | Tensor) -> Any:
    from symnets.data import AtomGraph  # takes a second, for torch_geometric

    chosen = torch.zeros(graph.n_graphs, dtype=torch.bool, device=graph.pos.device)
    chosen[points] = True
    if bool(chosen.all()):
        return graph
    owner = graph.owner
    atoms = chosen[owner]
    edges = atoms[graph.edge_index[1]]
    number, number_of_graph = torch.cumsum(atoms, 0) - 1, torch.cumsum(chosen, 0) - 1
    fields: dict[str, Any] = {}
    for name, value in graph.to_dict().items():
        if name == "edge_index":
            fields[name] = number[value[:, edges]]
        elif name == "batch":
            fields[name] = number_of_graph[value[atoms]]
        elif name == "ptr":
            fields[name] = nn.functional.pad(value.diff()[chosen].cumsum(0), (1, 0))
        elif not isinstance(value, Tensor):
            fields[name] = value
        elif name in _PER_GRAPH or len(value) == graph.n_graphs != len(atoms):
            fields[name] = value[chosen]
        elif len(value) == len(atoms):
            fields[name] = value[atoms]
        else:
            fields[name] = value[edges] if len(value) == len(edges) else value
    return AtomGraph(**fields)
