"""Generated structures of given elements: strained and rattled crystals, and rattled molecules."""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.collections import g2
from ase.data import chemical_symbols, covalent_radii, reference_states
from numpy.random import Generator

_ELEMENTS = ("fcc", "bcc", "diamond", "sc")
_PAIRS = ("rocksalt", "zincblende", "cesiumchloride", "fluorite")
_EDGE = {
    "fcc": 2**0.5,
    "bcc": 2 / 3**0.5,
    "diamond": 4 / 3**0.5,
    "sc": 1.0,
    "rocksalt": 2.0,
    "zincblende": 4 / 3**0.5,
    "cesiumchloride": 2 / 3**0.5,
    "fluorite": 4 / 3**0.5,
}
"""Edge of the cubic cell divided by the nearest-neighbour distance."""
_LEAST_ATOMS = 4
"""Least number of atoms of a cell; smaller cells are repeated."""
_CLOSEST = 0.6
"""Least distance of two atoms divided by the sum of their covalent radii; structures below are left out."""


def generated_structures(species: Sequence[int], seed: int) -> Iterator[Atoms]:
    """Endless sequence of structures of given elements: crystals of one or two of them, and molecules.

    Half of the crystals of an element whose lattice is in ASE's table have the lattice constant of this
    table. For all other crystals it is computed from the covalent radii. A crystal is strained by some per
    cent, and its volume changes by up to about a quarter. All atoms are moved at random, by up to a tenth of
    the nearest-neighbour distance (root mean square). `info["made"]` is the name of the lattice or the
    molecule.

    Args:
        species: atomic numbers.
        seed: the structures are a function of the species and the seed.
    """
    molecules = [name for name in g2.names if _elements(name) <= set(species) and len(g2[name]) > 1]
    number = 0
    while True:
        random = np.random.default_rng([seed, number])
        number += 1
        kind = random.random()
        if molecules and kind < 0.2:
            name = str(random.choice(molecules))
            atoms = molecule(name)
            distance = 1.2  # Å, about the length of a bond
        else:
            pair = len(species) > 1 and kind < 0.65
            numbers = random.choice(species, size=1 + pair, replace=False)
            atoms, name, distance = _crystal([int(z) for z in numbers], random)
            strain = 0.03 * random.standard_normal((3, 3))
            strain = (strain + strain.T) / 2 + random.uniform(-0.05, 0.07) * np.eye(3)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        spread = random.uniform(0.005, 0.06) * distance
        atoms.positions += spread * random.standard_normal(atoms.positions.shape)
        atoms.info = {"made": name}
        if not _too_close(atoms):
            yield atoms


def _crystal(numbers: Sequence[int], random: Generator) -> tuple[Atoms, str, float]:
    """A cubic or hexagonal crystal of one or two elements, its name, and a bond length in Å."""
    symbols = [chemical_symbols[z] for z in numbers]
    distance = float(covalent_radii[[numbers[0], numbers[-1]]].sum())
    if len(numbers) == 2:
        lattice = str(random.choice(_PAIRS))
        formula = symbols[0] + symbols[1] + ("2" if lattice == "fluorite" else "")
        atoms = bulk(formula, lattice, a=_EDGE[lattice] * distance, cubic=True)
    else:
        known = reference_states[numbers[0]] or {}
        formula, lattice = symbols[0], str(known.get("symmetry"))
        # In ASE's table the entry "basis" is None for a lattice with a basis that ASE does not know.
        simple = lattice in (*_ELEMENTS, "hcp") and known.get("basis", ()) is not None
        if simple and random.random() < 0.5:
            atoms = bulk(formula) if lattice == "hcp" else bulk(formula, cubic=True)
        else:
            lattice = str(random.choice(_ELEMENTS))
            cubic = {} if lattice == "sc" else {"cubic": True}
            atoms = bulk(formula, lattice, a=_EDGE[lattice] * distance, **cubic)
    while len(atoms) < _LEAST_ATOMS:
        atoms = atoms.repeat(tuple(int(axis == len(atoms) % 3) + 1 for axis in range(3)))
    return atoms, f"{formula} {lattice}", distance


def _too_close(atoms: Atoms) -> bool:
    radii = covalent_radii[atoms.numbers]
    ratio = atoms.get_all_distances(mic=True) / (radii[:, None] + radii[None])
    return bool((ratio[~np.eye(len(atoms), dtype=bool)] < _CLOSEST).any())


@cache
def _elements(name: str) -> frozenset[int]:
    return frozenset(int(z) for z in g2[name].numbers)
