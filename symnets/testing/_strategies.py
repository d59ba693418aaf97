"""Strategies of random structures for hypothesis, for property-based tests. Needs `hypothesis`."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from hypothesis import strategies as st

from symnets.testing._structures import random_crystal, random_molecule

SEEDS = st.integers(0, 2**32 - 1)
PERIODIC = [(True, True, True), (True, True, False), (False, True, True), (True, False, False)]
"""Periodic directions of a crystal, two slabs and a chain."""


def molecules(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Strategy of molecules of 1 to `max_atoms` atoms; see `random_molecule`."""
    return st.builds(random_molecule, st.just(species), st.integers(1, max_atoms), seed=SEEDS)


def crystals(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Strategy of triclinic crystals, slabs and chains of 1 to `max_atoms` atoms, dense or sparse.

    The smallest cells are far smaller than usual cutoffs. Some structures have zero lattice vectors along
    directions that are not periodic, hence no volume and no stress.
    """
    periodic = st.builds(
        random_crystal,
        st.just(species),
        st.integers(1, max_atoms),
        pbc=st.sampled_from(PERIODIC),
        volume=st.floats(6, 100),
        seed=SEEDS,
    )
    return periodic | periodic.map(_without_other_vectors)


def structures(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Strategy for hypothesis of molecules, crystals, slabs and chains of 1 to `max_atoms` atoms.

    Args:
        species: atomic numbers to choose from.
        max_atoms: largest number of atoms.
    """
    return molecules(species, max_atoms) | crystals(species, max_atoms)


def _without_other_vectors(atoms: Atoms) -> Atoms:
    """The structure with zero for the lattice vectors that are not periodic."""
    bare = atoms.copy()
    bare.set_cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0))
    return bare
