"""Structures on which symnets and SevenNet are compared, made from fixed seeds."""

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from scipy.spatial.transform import Rotation


def rattled(atoms: Atoms, *, seed: int) -> Atoms:
    """Atoms moved by 0.05 Å."""
    atoms.rattle(0.05, seed=seed)
    return atoms


def water_box(n_side: int = 4, spacing: float = 3.1, *, seed: int = 0) -> Atoms:
    """Water molecules on a cubic lattice, each turned at random: about the density of the liquid."""
    generator = np.random.default_rng(seed)
    one = molecule("H2O").positions - molecule("H2O").get_center_of_mass()
    box = Atoms(cell=[n_side * spacing] * 3, pbc=True)
    turns = Rotation.from_quat(generator.normal(size=(n_side**3, 4)))
    for place, turn in zip(np.ndindex(n_side, n_side, n_side), turns, strict=True):
        box += Atoms("OH2", positions=turn.apply(one) + spacing * np.array(place))
    return rattled(box, seed=seed)


STRUCTURES = {
    "fcc Cu": rattled(bulk("Cu", a=3.615, cubic=True) * (2, 2, 2), seed=1),
    "diamond Si": rattled(bulk("Si", a=5.43, cubic=True) * (2, 1, 1), seed=2),
    "NaCl": rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 1, 1), seed=3),
    "water": rattled(molecule("H2O"), seed=4),
    "benzene": rattled(molecule("C6H6"), seed=5),
    "water box": water_box(),
}
TINY = {
    "methanol": rattled(molecule("CH3OH"), seed=6),
    "crystal": rattled(
        Atoms("OHC", positions=[(0, 0, 0), (1.2, 1.1, 0.2), (0.3, 1.9, 2.0)], cell=[2.9, 3.1, 3.4], pbc=True),
        seed=7,
    ),
}
