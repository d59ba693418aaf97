"""Every force field the laws are tried on: a name, and a function that builds it."""

from collections.abc import Callable
from functools import partial

import torch

from symnets.models import MACE, ForceField, Invariant, NequIP, WithZBL
from symnets.ops import SymmetricContraction, TensorProductScatter
from tests.laws.toys import EmbeddedAtom

SPECIES = (1, 6, 8)
SMALL = {"cutoff": 4.0, "channels": 4, "layers": 4, "radial_hidden": (8,), "mean_neighbors": 20.0}
"""Four layers: with fewer, the features that `parity` adds cannot reach the energy."""
UNEVEN = {"shift": (-13.6, -1029.1, -2043.2), "scale": (0.5, 1.0, 2.0)}
"""Energies of atoms, eV, as references have them."""


def build(energy_model: Callable[[], torch.nn.Module]) -> ForceField:
    """A force field with seeded weights, in float32 as users have them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ForceField(energy_model())


def nequip(lmax: int, parity: bool) -> Callable[[], ForceField]:
    """A small NequIP."""
    return partial(build, partial(NequIP, SPECIES, lmax=lmax, parity=parity, **SMALL))


def mace(**options: int) -> Callable[[], ForceField]:
    """A small MACE."""
    return partial(build, partial(MACE, SPECIES, **SMALL | {"layers": 2} | options))


def plain(fused: Callable[[], ForceField]) -> ForceField:
    """A model computed by torch alone, as on other devices than the CPU."""
    force_field = fused()
    for module in force_field.modules():
        if isinstance(module, TensorProductScatter | SymmetricContraction):
            module.implementation = "plain"
    return force_field


NEQUIPS: dict[str, Callable[[], ForceField]] = {
    f"NequIP, lmax {lmax}, parity {'on' if parity else 'off'}": nequip(lmax, parity)
    for lmax in range(4)
    for parity in (True, False)
}
MODELS: dict[str, Callable[[], ForceField]] = {
    "toy": partial(build, EmbeddedAtom),
    **NEQUIPS,
    "NequIP with references": partial(build, partial(NequIP, SPECIES, lmax=1, **SMALL, **UNEVEN)),
    "Invariant": partial(build, partial(Invariant, SPECIES, **SMALL)),
    "MACE": mace(),
    "MACE, correlation 2, features of l 2": mace(correlation=2, feature_lmax=2),
    "WithZBL": partial(build, lambda: WithZBL(NequIP(SPECIES, lmax=1, **SMALL))),
    "NequIP without kernels": partial(plain, nequip(1, True)),
    "MACE without kernels": partial(plain, mace(lmax=2)),
}
