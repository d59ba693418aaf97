"""Lennard-Jones as a force field, smooth at the cutoff as in ASE."""

from collections.abc import Callable, Iterator

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from jaxtyping import config
from torch import Tensor, nn

from symnets.data import AtomGraph
from symnets.models import ForceField

EPSILON, SIGMA, CUTOFF, ONSET = 0.1, 2.5, 5.0, 4.0


class PairEnergy(nn.Module):
    """Each atom of a pair gets half of 4 ε ((σ/r)¹² - (σ/r)⁶) f(r); f falls from 1 at the onset to 0."""

    def __init__(self) -> None:
        super().__init__()
        self.species = (10, 18)
        self.cutoff = CUTOFF
        self.epsilon = nn.Parameter(torch.tensor(EPSILON, dtype=torch.float64))

    def forward(self, graph: AtomGraph) -> Tensor:
        r2 = graph.edge_vectors().square().sum(dim=1)
        assert (r2 <= CUTOFF**2 * (1 + 1e-6)).all()
        s6 = (SIGMA**2 / r2) ** 3
        switch = (CUTOFF**2 - r2) ** 2 * (CUTOFF**2 + 2 * r2 - 3 * ONSET**2) / (CUTOFF**2 - ONSET**2) ** 3
        energy = 2 * self.epsilon * (s6**2 - s6) * torch.where(r2 < ONSET**2, 1.0, switch)
        return graph.pos.new_zeros(len(graph.pos)).index_add(0, graph.edge_index[1], energy)


@pytest.fixture
def field() -> ForceField:
    """Force field of neon and argon, both Lennard-Jones with ε = 0.1 eV and σ = 2.5 Å; float64."""
    return ForceField(PairEnergy())


@pytest.fixture
def twin() -> LennardJones:
    """The same potential by ASE."""
    return LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=CUTOFF, ro=ONSET, smooth=True)


@pytest.fixture
def cluster() -> Atoms:
    """A tetrahedron of four atoms and a fifth above it, randomly displaced."""
    r = 2.8
    atoms = Atoms(
        "ArNeArNeAr", [(0, 0, 0), (r, 0, 0), (r / 2, 0.87 * r, 0), (r / 2, 0.29 * r, 0.8 * r), (0, 0, 5.5)]
    )
    atoms.rattle(0.1, seed=1)
    return atoms


@pytest.fixture
def crystal() -> Callable[[int], Atoms]:
    """`crystal(n)`: n x n x n fcc argon in its primitive, triclinic cell, randomly displaced."""

    def build(n: int) -> Atoms:
        atoms = bulk("Ar", "fcc", a=3.9) * (n, n, n)
        atoms.rattle(0.1, seed=2)
        return atoms

    return build


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Argument types are not checked, as for users: values outside of a Literal reach the function."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
