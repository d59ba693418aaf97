"""Deform molecules: smooth random maps of space that move their atoms."""

import torch
import torch_geometric.data
from ase import Atoms
from torch import Generator

from symnets.data import AtomGraph, neighbors
from symnets.diffeo._deform_points import deform_points
from symnets.diffeo._temperature import CutoffRule

MARGIN = 2.0
"""Å from the outermost atoms to the walls that do not move: about the radius of an atom."""


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
    """n copies of a molecule, each moved by a map of its own that is one-to-one (`deform_points`).

    No two atoms meet, and what is inside of a ring stays there. More is not claimed: bonds stretch as
    neighbours part, and energies are not those of a relaxed structure. Calculators, and the labels they
    hold, stay with the original.

    Args:
        atoms: a molecule.
        delta: root mean square displacement of an atom in Å; 0 leaves positions as they are, bit for bit.
        cutoff: largest wave number of the maps.
        rule: see `SineField`.
        n: how many copies.
        margin: Å between the molecule and the sides of the box.
        periodic: move the atoms of a periodic structure as if they were a molecule, cell and all images
            left as they are. Bonds through the walls of the box are then torn.
        generator: source of the maps; None is torch's own.

    Raises:
        ValueError: a periodic structure, unless asked for; no atoms.
    """
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got an empty structure")
    _refuse_periodic(bool(atoms.pbc.any()), periodic)
    positions = torch.tensor(atoms.positions, dtype=torch.float64).expand(n, -1, -1)
    moved = deform_points(
        positions, delta=delta, cutoff=cutoff, rule=rule, margin=margin, generator=generator
    )
    copies = []
    for place in moved.numpy():
        copy = atoms.copy()
        copy.set_positions(place, apply_constraint=False)
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
    """The graph of molecules after a random map of each, its neighbours found anew.

    Species, cell and periodicity are kept. Energy, forces and stress are not: they belong to the old
    positions.

    Args:
        graph: one molecule or a batch; of a batch the largest sets the box.
        neighbor_cutoff: of the edges, in Å.
        delta: as in `deform_atoms`, and so all that follow.

    Raises:
        ValueError: a periodic structure, unless asked for.
    """
    _refuse_periodic(bool(graph.pbc.any()), periodic)
    owner = graph.owner
    moved = deform_points(
        graph.pos, delta=delta, cutoff=cutoff, rule=rule, margin=margin, owner=owner, generator=generator
    )
    parts = []
    for index in range(graph.n_graphs):
        mine = owner == index
        pos, cell, pbc = moved[mine], graph.cell[index], graph.pbc[index]
        edge_index, edge_shift = neighbors(pos, cell, pbc, neighbor_cutoff)
        parts.append(
            AtomGraph(
                pos=pos,
                z=graph.z[mine],
                cell=cell[None],
                pbc=pbc[None],
                edge_index=edge_index,
                edge_shift=edge_shift,
            )
        )
    if graph.batch is None:
        return parts[0]
    return torch_geometric.data.Batch.from_data_list(parts)  # pyright: ignore


def _refuse_periodic(is_periodic: bool, asked: bool) -> None:
    if is_periodic and not asked:
        raise ValueError(
            "expected a molecule, got a periodic structure: the maps fix the walls of a box, and would tear "
            "bonds that cross the walls of the cell. Set pbc to False, or pass periodic=True to move the "
            "atoms as they are"
        )
