"""Random smooth deformations of molecules, as ASE structures or as graphs."""

import torch
import torch_geometric.data
from ase import Atoms
from torch import Generator

from symnets.data import AtomGraph, neighbors
from symnets.diffeo._deform_points import deform_points
from symnets.diffeo._temperature import CutoffRule

MARGIN = 2.0
"""Distance in Å from the outermost atoms to the fixed sides of the box: about the radius of an atom."""


def deform_atoms(
    atoms: Atoms,
    *,
    delta: float,
    cutoff: float = 3.0,
    rule: CutoffRule = "disc",
    n: int = 1,
    margin: float = MARGIN,
    periodic: bool = False,
    generator: Generator | None,
) -> list[Atoms]:
    """n copies of a molecule, each deformed by a different random one-to-one map (`deform_points`).

    No two atoms coincide, and an atom inside of a ring stays inside. Nothing else is guaranteed: bonds are
    stretched, and the structure is not relaxed. The copies have no calculator and no labels.

    Args:
        atoms: a molecule.
        delta: root mean square displacement of an atom in Å; 0 returns the positions exactly.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        n: number of copies.
        margin: distance in Å between the molecule and the sides of the box.
        periodic: whether to accept a periodic structure and move its atoms as if it were a molecule, with the
            cell unchanged. Bonds across the sides of the cell are then broken.
        generator: source of the maps; None is torch's default generator.

    Raises:
        ValueError: a periodic structure without `periodic`, or no atoms.
    """
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got an empty structure")
    _check_molecule(bool(atoms.pbc.any()), periodic)
    positions = torch.tensor(atoms.positions, dtype=torch.float64).expand(n, -1, -1)
    moved = deform_points(
        positions, delta=delta, cutoff=cutoff, rule=rule, margin=margin, generator=generator
    )
    copies = []
    for coordinates in moved.numpy():
        copy = atoms.copy()
        copy.set_positions(coordinates, apply_constraint=False)
        copies.append(copy)
    return copies


def deform_graph(
    graph: AtomGraph,
    neighbor_cutoff: float,
    *,
    delta: float,
    cutoff: float = 3.0,
    rule: CutoffRule = "disc",
    margin: float = MARGIN,
    periodic: bool = False,
    generator: Generator | None,
) -> AtomGraph:
    """The graph of deformed molecules, one random map for each, with the neighbour list rebuilt.

    Species, cell and periodicity are copied. Energy, forces and stress are not, because they belong to the
    original positions.

    Args:
        graph: one molecule or a batch; the largest molecule of a batch sets the size of the box.
        neighbor_cutoff: cutoff of the edges, in Å.
        delta: see `deform_atoms`, also for the arguments that follow.

    Raises:
        ValueError: a periodic structure without `periodic`.
    """
    _check_molecule(bool(graph.pbc.any()), periodic)
    owner = graph.owner
    moved = deform_points(
        graph.pos, delta=delta, cutoff=cutoff, rule=rule, margin=margin, owner=owner, generator=generator
    )
    parts = []
    for index in range(graph.n_graphs):
        own = owner == index
        pos, cell, pbc = moved[own], graph.cell[index], graph.pbc[index]
        edge_index, edge_shift = neighbors(pos, cell, pbc, neighbor_cutoff)
        parts.append(
            AtomGraph(
                pos=pos,
                z=graph.z[own],
                cell=cell[None],
                pbc=pbc[None],
                edge_index=edge_index,
                edge_shift=edge_shift,
            )
        )
    if graph.batch is None:
        return parts[0]
    return torch_geometric.data.Batch.from_data_list(parts)  # pyright: ignore


def _check_molecule(is_periodic: bool, accept_periodic: bool) -> None:
    if is_periodic and not accept_periodic:
        raise ValueError(
            "expected a molecule, got a periodic structure: the maps fix the sides of a box, so that bonds "
            "across the sides of the cell would break. Set pbc to False, or pass periodic=True to move the "
            "atoms all the same"
        )
