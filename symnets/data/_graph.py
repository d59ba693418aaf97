"""AtomGraph: one structure, or a batch of them, as a graph of neighbours."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from symnets.data._batch import Labels, has_stress

# Fields with one row for each graph: joined along the first axis, without offset.
_PER_GRAPH = ("cell", "pbc", "charge", "weight", "energy", "stress")

TENSOR = "tensor "
"""Beginning of the names of fields with tensor labels, whatever their names are."""


class AtomGraph(Data):
    """Graph of neighbours of a batch of structures, as PyG `Data`; a single structure is a batch of one.

    | field | shape | unit |
    |---|---|---|
    | `pos` | (atoms, 3) | Å |
    | `z` | (atoms,) int64 | atomic number |
    | `cell` | (graphs, 3, 3) | Å, rows are lattice vectors, zero rows where there is none |
    | `pbc` | (graphs, 3) bool | |
    | `edge_index` | (2, edges) int64 | row 0 the sender j, row 1 the receiver i, sorted by receiver |
    | `edge_shift` | (edges, 3) | cell units, whole numbers in the dtype of `pos` |
    | `batch` | (atoms,) int64 | graph of each atom; absent in a single structure, see `owner` |
    | `charge` | (graphs,) float64 | e, optional; for models of charges and dipoles, which conserve it |
    | `weight` | (graphs,) float64 | optional; of the structure in the loss, 1 by default |
    | `energy` | (graphs,) float64 | eV, optional label |
    | `forces` | (atoms, 3) | eV/Å, optional label |
    | `stress` | (graphs, 3, 3) | eV/Å³, ASE's sign: (1/V) dE/dstrain; optional label |
    | `tensor NAME` | (graphs, ...) or (atoms, ...) | optional labels, see `add_tensor_labels` |

    A label that is missing in some structures of a data set is NaN there, so that all graphs have the same
    fields, see `build_graphs`. An edge's vector points from receiver to sender:
    `pos[j] + edge_shift @ cell - pos[i]`.
    """

    pos: Float[Tensor, "atoms 3"]
    z: Int[Tensor, " atoms"]
    cell: Float[Tensor, "graphs 3 3"]
    pbc: Bool[Tensor, "graphs 3"]
    edge_index: Int[Tensor, "2 edges"]
    edge_shift: Float[Tensor, "edges 3"]

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Axis along which PyG joins a field when it collates graphs."""
        return 0 if _has_rows(key) else super().__cat_dim__(key, value, *args, **kwargs)

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Offset that PyG adds to a field when it collates graphs: the number of atoms for `edge_index`."""
        return 0 if _has_rows(key) else super().__inc__(key, value, *args, **kwargs)

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return self.cell.shape[0]

    @property
    def owner(self) -> Int[Tensor, " atoms"]:
        """Graph that each atom belongs to."""
        batch = self.batch
        if batch is None:
            return torch.zeros_like(self.z)
        return batch

    @property
    def n_atoms(self) -> Int[Tensor, " graphs"]:
        """Number of atoms of each structure."""
        return torch.bincount(self.owner, minlength=self.n_graphs)

    @property
    def has_stress(self) -> Bool[Tensor, " graphs"]:
        """Whether each structure has a stress, see `symnets.data.has_stress`."""
        return has_stress(self.cell, self.pbc)

    def edge_vectors(self) -> Float[Tensor, "edges 3"]:
        """Vectors from receiver to sender, `pos[j] + edge_shift @ cell - pos[i]`, in Å."""
        sender, receiver = self.edge_index
        vectors = self.pos[sender] - self.pos[receiver]
        if self.n_graphs == 1:
            return vectors + self.edge_shift @ self.cell[0]
        cell = self.cell[self.owner[receiver]]
        return vectors + torch.einsum("ea,eab->eb", self.edge_shift, cell)


def _has_rows(key: str) -> bool:
    """Whether a field is joined along the first axis, whatever PyG would make of its name."""
    return key in _PER_GRAPH or key.startswith(TENSOR)


def labels(graph: AtomGraph) -> Labels:
    """Labels of a graph; a missing energy is NaN, missing forces and stress are None.

    The stress of a structure that has none is NaN whatever its label, see `has_stress`.
    """
    energy = graph.get("energy")
    if energy is None:
        energy = torch.full((graph.n_graphs,), torch.nan, dtype=torch.float64, device=graph.pos.device)
    stress = graph.get("stress")
    if stress is not None:
        stress = stress.where(graph.has_stress[:, None, None], torch.nan)
    keys = [key for key in graph.to_dict() if key.startswith(TENSOR)]
    tensors = {key.removeprefix(TENSOR): graph[key] for key in keys} or None
    forces, weight = graph.get("forces"), graph.get("weight")
    return Labels(energy, forces, stress, graph.owner, graph.n_atoms, tensors, weight)
