"""Hypothesis strategies: random structures for property-based tests. Needs `hypothesis`."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from hypothesis import strategies as st

from symnets.testing._structures import random_crystal, random_molecule

SEEDS = st.integers(0, 2**32 - 1)
PERIODIC = [(True, True, True), (True, True, False), (False, True, True), (True, False, False)]


def molecules(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Molecules of 1 to `max_atoms` atoms; see `random_molecule`."""
    return st.builds(random_molecule, st.just(species), st.integers(1, max_atoms), seed=SEEDS)


def crystals(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Triclinic crystals, slabs and chains of 1 to `max_atoms` atoms, dense or loose.

    The smallest cells are far smaller than a cutoff. Some structures have no lattice vector at
    all along directions that are not periodic: they have no volume and no stress.
    """
    drawn = st.builds(
        random_crystal,
        st.just(species),
        st.integers(1, max_atoms),
        pbc=st.sampled_from(PERIODIC),
        volume=st.floats(6, 100),
        seed=SEEDS,
    )
    return drawn | drawn.map(_without_idle_vectors)


def structures(species: Sequence[int], max_atoms: int = 8) -> st.SearchStrategy[Atoms]:
    """Molecules or crystals."""
    return molecules(species, max_atoms) | crystals(species, max_atoms)


def _without_idle_vectors(atoms: Atoms) -> Atoms:
    """The structure with zeros for the lattice vectors that are not periodic."""
    bare = atoms.copy()
    bare.set_cell(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0))
    return bare
