"""AtomGraph: structures as a graph of neighbours, and conversion from and to ASE structures."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from symnets.data._loader import TENSOR
from symnets.data._neighbors import near_origin, neighbors

LABELS = ("energy", "forces", "stress")
"""Names of the labels of energies and their derivatives."""

# Fields with one row for each graph: joined along the first axis, without offset.
_PER_GRAPH = ("cell", "pbc", "charge", "weight", "energy", "stress")


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
    | `charge` | (graphs,) float64 | e, optional; total charge, which models of charges and dipoles conserve |
    | `weight` | (graphs,) float64 | optional; weight of the structure in the loss, 1 by default |
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


def has_stress(cell: Tensor | np.ndarray, pbc: Tensor | np.ndarray) -> Any:
    """Whether structures have a stress: some lattice vector is periodic, and the cell has a volume.

    Slabs and wires in a cell with vacuum have one; molecules have none, even in a box.

    Args:
        cell: (..., 3, 3), rows are lattice vectors in Å.
        pbc: (..., 3) booleans, a tensor or array like `cell`.

    Returns:
        (...) booleans. A cell whose volume is below 1e-6 of the product of its three edge lengths counts as
        flat.
    """
    vectors: Any = cell
    a, b, c = vectors[..., 0, :], vectors[..., 1, :], vectors[..., 2, :]
    volume = abs(
        a[..., 0] * (b[..., 1] * c[..., 2] - b[..., 2] * c[..., 1])
        + a[..., 1] * (b[..., 2] * c[..., 0] - b[..., 0] * c[..., 2])
        + a[..., 2] * (b[..., 0] * c[..., 1] - b[..., 1] * c[..., 0])
    )
    right_angled = (a**2).sum(-1) ** 0.5 * (b**2).sum(-1) ** 0.5 * (c**2).sum(-1) ** 0.5
    return pbc.any(-1) & (volume > 1e-6 * right_angled)


def from_ase(atoms: Atoms, cutoff: float, *, dtype: torch.dtype | None = None) -> AtomGraph:
    """Graph of one ASE structure, with its labels.

    Neighbours are computed in float64; then positions, cell, forces and stress are cast to `dtype`.
    The energy stays float64: in float32 a total of -10⁴ eV would have a resolution of only 1 meV.
    For a `dtype` of lower precision than float64, positions are first moved to the origin, see
    `near_origin`: 1,000 Å away, float32 would round them by 3e-5 Å.

    Labels are the energy, forces and stress of a `SinglePointCalculator`. Results of other calculators, and
    results for positions or a cell that have changed since, are not read.

    Args:
        atoms: the structure.
        cutoff: distance in Å below which two atoms are neighbours.
        dtype: floating dtype of the graph; torch's default if None.

    Raises:
        ValueError: no atoms, or a structure that `neighbors` does not accept.
    """
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got an empty structure")
    dtype = dtype or torch.get_default_dtype()
    # Contiguous copies, because torch takes neither negative strides nor foreign byte order.
    positions, cell = (
        np.array(field, dtype=np.float64, order="C") for field in (atoms.positions, atoms.cell)
    )
    pbc = atoms.pbc
    edge_index, edge_shift = neighbors(positions, cell, pbc, cutoff)
    if dtype != torch.float64:
        sender, receiver = edge_index.numpy()
        positions, wrap = near_origin(positions, cell, pbc)
        edge_shift = edge_shift + torch.from_numpy(wrap[sender] - wrap[receiver])
    graph = AtomGraph(
        pos=torch.from_numpy(positions).to(dtype),
        z=torch.from_numpy(atoms.numbers.astype(np.int64)),
        cell=torch.from_numpy(cell).to(dtype)[None],
        pbc=torch.from_numpy(pbc.astype(bool))[None],
        edge_index=edge_index,
        edge_shift=edge_shift.to(dtype),
    )
    for name, value in read_labels(atoms).items():
        value = torch.from_numpy(np.array(value, dtype=np.float64, order="C"))
        graph[name] = value if name == "energy" else value.to(dtype)
    return graph


def read_labels(atoms: Atoms) -> dict[str, np.ndarray]:
    """Energy (1,), forces (atoms, 3) and stress (1, 3, 3) of a structure's `SinglePointCalculator`.

    The stress label of a structure that has no stress, see `has_stress`, is left out.
    """
    calculator = atoms.calc
    if not isinstance(calculator, SinglePointCalculator) or calculator.check_state(atoms):
        return {}
    labels: dict[str, np.ndarray] = {}
    if (energy := calculator.results.get("energy")) is not None:
        labels["energy"] = np.asarray(energy, dtype=np.float64).reshape(1)
    if (forces := calculator.results.get("forces")) is not None:
        labels["forces"] = np.asarray(forces, dtype=np.float64)
    stress = calculator.results.get("stress")
    if stress is not None and has_stress(atoms.cell.array, atoms.pbc):
        stress = np.asarray(stress, dtype=np.float64)
        labels["stress"] = (voigt_6_to_full_3x3_stress(stress) if stress.size == 6 else stress).reshape(
            1, 3, 3
        )
    return labels


def to_ase(graph: AtomGraph) -> Atoms | list[Atoms]:
    """ASE structure of a single graph, or the list of structures of a batch.

    Labels are stored in a `SinglePointCalculator`. A label that contains NaN is missing and is left out.

    Raises:
        ValueError: the atoms of a structure of the batch are not consecutive.
    """
    owner = graph.owner.cpu().numpy()
    n_atoms = np.bincount(owner, minlength=graph.n_graphs)
    if len(owner) > 1 and (np.diff(owner) < 0).any():
        raise ValueError("batch: expected the atoms of a structure to be consecutive")
    arrays = {
        name: graph[name].detach().cpu().numpy().astype(np.int64 if name == "z" else np.float64)
        for name in ("pos", "z", "cell", "pbc", "energy", "forces", "stress")
        if graph.get(name) is not None
    }
    structures = []
    start = 0
    for index, count in enumerate(n_atoms):
        rows = slice(start, start + count)
        start += count
        atoms = Atoms(
            numbers=arrays["z"][rows],
            positions=arrays["pos"][rows],
            cell=arrays["cell"][index],
            pbc=arrays["pbc"][index].astype(bool),
        )
        results: dict[str, float | np.ndarray] = {}
        if "energy" in arrays:
            results["energy"] = float(arrays["energy"][index])
        if "forces" in arrays:
            results["forces"] = arrays["forces"][rows]
        if "stress" in arrays:
            results["stress"] = full_3x3_to_voigt_6_stress(arrays["stress"][index])
        results = {name: value for name, value in results.items() if not np.isnan(value).any()}
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        structures.append(atoms)
    return structures if graph.batch is not None else structures[0]


def build_graphs(
    structures: Iterable[Atoms],
    cutoff: float,
    *,
    dtype: torch.dtype | None = None,
    names: Sequence[str] | None = None,
) -> list[AtomGraph]:
    """Graphs of structures, all with the same fields.

    A label that only some structures have is NaN in the other graphs.

    Args:
        structures: ASE structures with their labels.
        cutoff: distance in Å below which two atoms are neighbours.
        dtype: floating dtype of the graphs; torch's default if None.
        names: names of the structures in error messages; by default their indices.

    Raises:
        ValueError: no structure, or one that `from_ase` does not accept; the message gives its name.
    """
    graphs = []
    for index, atoms in enumerate(structures):
        try:
            graphs.append(from_ase(atoms, cutoff, dtype=dtype))
        except ValueError as error:
            name = f"structure {index}" if names is None else names[index]
            raise ValueError(f"{name} ({atoms.symbols}): {error}") from error
    if not graphs:
        raise ValueError("structures: expected at least one, got none")
    mark_missing(graphs, {name for graph in graphs for name in LABELS if name in graph})
    return graphs


def mark_missing(graphs: Iterable[AtomGraph], names: Iterable[str] = LABELS) -> None:
    """Give graphs the labels of these names that they lack, as NaN, so that they can be joined in a batch."""
    names = sorted(names)
    for graph in graphs:
        absent = {
            "energy": torch.full((graph.n_graphs,), torch.nan, dtype=torch.float64, device=graph.pos.device),
            "forces": torch.full_like(graph.pos, torch.nan),
            "stress": torch.full_like(graph.cell, torch.nan),
        }
        for name in names:
            if name not in graph:
                graph[name] = absent[name]
