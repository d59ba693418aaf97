"""Small compiled force fields of every kind that has native code, and structures of every kind."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from symnets.models import MACE, Compiled, Invariant, NequIP, Nequix, SevenNet, TensorFieldNetwork, WithZBL

SPECIES = ("H", "C", "O", "Cu")
SMALL = {"cutoff": 4.0, "channels": 5, "layers": 2, "radial_hidden": (8,), "mean_neighbors": 20.0}
UNEVEN = {"shift": (-13.6, -1029.1, -2043.2, -4500.0), "scale": (0.5, 1.0, 2.0, 1.5)}
"""Shift and scale of atomic energies in eV, different for each species."""
SEVEN = {"cutoff": 4.0, "radial_hidden": (8,)}
HIDDEN = "5x0e+3x1o+2x2e"

KINDS: dict[str, Callable[[], torch.nn.Module]] = {
    "NequIP": partial(NequIP, SPECIES, lmax=2, **SMALL, **UNEVEN),
    "NequIP without parity": partial(NequIP, SPECIES, lmax=1, parity=False, **SMALL),
    "NequIP of one layer": partial(NequIP, SPECIES, lmax=1, **SMALL | {"layers": 1}),
    "NequIP, l up to 4": partial(NequIP, SPECIES, lmax=4, parity=False, **SMALL | {"channels": 2}),
    "NequIP with vectors": partial(NequIP, SPECIES, lmax=1, irreps_last="4x0e+3x1o", **SMALL),
    "MACE": partial(MACE, SPECIES, **SMALL, **UNEVEN),
    "MACE, densities and Agnesi": partial(
        MACE,
        SPECIES,
        self_connection=(False, True),
        density_normalization=True,
        distance_transform="agnesi",
        correlation=(2, 1),
        readout_hidden=(),
        scale=0.1,  # its forces are large, and the tolerances of the laws are absolute
        **SMALL,
    ),
    "MACE, soft Gaussians": partial(
        MACE,
        SPECIES,
        self_connection=False,
        radial_basis="gaussian",
        distance_transform="soft",
        correlation=2,
        feature_lmax=2,
        **SMALL,
    ),
    "Invariant": partial(Invariant, SPECIES, lmax=3, **SMALL),
    "SevenNet": partial(
        SevenNet, SPECIES, irreps=("5x0e", "5x0e+3x1e+2x2e", "5x0e"), switch_on=3.0, bias=True, **SEVEN
    ),
    "SevenNet, parity and solid harmonics": partial(
        SevenNet,
        SPECIES,
        irreps=("5x0e", f"{HIDDEN}+2x3o", "5x0e"),
        lmax=3,
        parity=True,
        solid_harmonics=True,
        species_self_connection=True,
        **SEVEN,
    ),
    "Nequix": partial(Nequix, SPECIES, cutoff=4.0, layers=3, irreps=HIDDEN, lmax=2, radial_hidden=(8,)),
    "TensorFieldNetwork": partial(TensorFieldNetwork, SPECIES, lmax=1, **SMALL),
    "WithZBL": lambda: WithZBL(NequIP(SPECIES, lmax=1, **SMALL)),
    "WithZBL of MACE": lambda: WithZBL(
        MACE(SPECIES, correlation=2, lmax=2, **SMALL), scale=0.5, order=5, length=0.45
    ),
}
"""Energy models by name."""
SLOW = {
    "Nequix",
    "NequIP without parity",
    "NequIP with vectors",
    "NequIP, l up to 4",
    "MACE, densities and Agnesi",
    "MACE, soft Gaussians",
    "SevenNet",
    "SevenNet, parity and solid harmonics",
    "TensorFieldNetwork",
    "WithZBL",
    "WithZBL of MACE",
}
"""Kinds whose layers occur in other kinds, too; they run in slow tests."""


def compiled(kind: str, dtype: torch.dtype = torch.float64) -> Compiled:
    """A compiled force field of a kind, with seeded weights; a new object."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Compiled(KINDS[kind]().double(), 60).to(dtype)


@cache
def kept(kind: str, dtype: torch.dtype = torch.float64) -> Compiled:
    """Result of `compiled`, made once, for tests that do not change it; copies share its machine code."""
    model = compiled(kind, dtype)
    assert model.why_not_native is None
    return model


def rattled(atoms: Atoms) -> Atoms:
    """The atoms, displaced at random."""
    atoms.rattle(0.1, seed=1)
    return atoms


def slab() -> Atoms:
    """Two layers of copper, periodic in two directions, in a cell with vacuum, with an oxygen atom on top."""
    atoms = fcc111("Cu", (2, 2, 2), vacuum=6.0)
    atoms += Atoms("O", [atoms.positions[-1] + (0.2, 0.1, 1.9)])
    return atoms


STRUCTURES: dict[str, Callable[[], Atoms]] = {
    "molecule": lambda: rattled(molecule("CH3CH2OH")),
    "crystal": lambda: rattled(bulk("Cu") * (2, 2, 2)),
    "slab": lambda: rattled(slab()),
    "cell smaller than the cutoff": lambda: rattled(bulk("CuO", "rocksalt", a=4.2)),
    "one atom in a cell": lambda: bulk("Cu"),
    "two atoms": lambda: Atoms("CO", [(0, 0, 0), (0.5, 0.3, 1.0)]),
    "one atom": lambda: Atoms("O"),
    "atoms without neighbours": lambda: Atoms("OCuH", np.eye(3) * 20),
}
"""Structures by name."""
