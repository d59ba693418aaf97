"""Structures of the force-field benchmarks, and their graphs as arrays for native programs."""

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from symnets.data import AtomGraph
from symnets.models import Compiled

SYSTEMS = {
    "ethanol": "a rattled molecule of ethanol, 9 atoms",
    "ether": "a rattled molecule of dipropyl ether, 21 atoms",
    "cu64": "64 rattled atoms of fcc copper, periodic",
    "cu512": "512 rattled atoms of fcc copper, periodic",
    "cu2048": "2,048 rattled atoms of fcc copper, periodic",
    "cu8000": "8,000 rattled atoms of fcc copper, periodic",
    "molecules16x21": "16 rattled molecules of dipropyl ether, 21 atoms each",
}
CELLS = {"cu64": (4, 2, 2), "cu512": (8, 4, 4), "cu2048": (8, 8, 8), "cu8000": (20, 10, 10)}


def structures(name: str) -> list[Atoms]:
    """Structures of a system, which form one batch."""
    if name in CELLS:
        atoms = bulk("Cu", cubic=True) * CELLS[name]
        atoms.rattle(0.05, seed=0)
        return [atoms]
    single = molecule("CH3CH2OH") if name == "ethanol" else dipropyl_ether()
    frames = []
    for seed in range(16 if name == "molecules16x21" else 1):
        atoms = single.copy()
        atoms.rattle(0.05, seed=seed)
        frames.append(atoms)
    return frames


def native_inputs(model: Compiled, graph: AtomGraph) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of a native program: index of the species of each atom, sender, receiver, edge vectors."""
    sender, receiver = graph.edge_index
    shift = torch.einsum("ea,eab->eb", graph.edge_shift, graph.cell[graph.owner[receiver]])
    vectors = (graph.pos[sender] + shift - graph.pos[receiver]).double().numpy()
    species = np.searchsorted(model.species, graph.z.numpy())
    return species, sender.numpy(), receiver.numpy(), vectors


def dipropyl_ether() -> Atoms:
    """C6H14O: dimethyl ether with a hydrogen replaced by a methyl group twice at both ends."""
    atoms = molecule("CH3OCH3")
    for _ in range(2):  # methyl -> ethyl -> propyl, at both ends
        for end in (0, 1):
            atoms = _lengthen(atoms, end)
    return atoms


def _lengthen(atoms: Atoms, end: int) -> Atoms:
    """Replace the hydrogen farthest from the oxygen on one side by a methyl group."""
    oxygen = atoms.positions[atoms.numbers == 8][0]
    side = 1 if end else -1
    hydrogens = [a.index for a in atoms if a.symbol == "H" and side * (a.position[1] - oxygen[1]) > 0]
    chosen = max(hydrogens, key=lambda i: abs(atoms.positions[i, 1] - oxygen[1]))
    carbons = [a.index for a in atoms if a.symbol == "C"]
    carbon = min(carbons, key=lambda i: atoms.get_distance(i, chosen))
    direction = atoms.get_distance(carbon, chosen, vector=True)
    direction /= (direction**2).sum() ** 0.5
    methyl = molecule("CH4")
    methyl.translate(-methyl.positions[0])
    methyl.rotate(methyl.positions[1], -direction)
    del methyl[1]
    methyl.translate(atoms.positions[carbon] + 1.53 * direction)
    del atoms[chosen]
    return atoms + methyl
