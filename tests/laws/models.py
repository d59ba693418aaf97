"""Force fields on which the laws are checked: their names, and functions that build them."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from symnets.models import MACE, ForceField, NequIP, WithZBL, architectures
from symnets.ops import SymmetricContraction, TensorProductScatter
from tests.laws.toys import EmbeddedAtom

SPECIES = (1, 6, 8)
SMALL = {"cutoff": 4.0, "channels": 4, "layers": 4, "radial_hidden": (8,), "mean_neighbors": 20.0}
"""Four layers: with fewer, the features that `parity` adds cannot reach the energy.

Without them, vectors of the first layer reach products of the second, and the energy after the third.
"""
OWN = {
    "EGNN": {"layers": 3},
    "Invariant": {"layers": 2},
    "Allegro": {"layers": 3, "latent": 8, "hidden": (8,)},
    "MACE": {"layers": 2, "lmax": 2},
    "Nequix": {"irreps": "4x0e+3x1o+2x2e", "lmax": 2, "layers": 3},
    "SE3Transformer": {"layers": 3, "heads": 2},
    "SevenNet": {"irreps": ("4x0e", *["4x0e+3x1o+2x2e"] * 3, "4x0e"), "parity": True, "switch_on": 3.0},
    "TensorFieldNetwork": {"lmax": 1},
}
"""Options of single architectures."""
UNEVEN = {"shift": (-13.6, -1029.1, -2043.2), "scale": (0.5, 1.0, 2.0)}
"""Reference energies of atoms, eV."""


def build(energy_model: Callable[[], torch.nn.Module]) -> ForceField:
    """A force field with seeded weights, in float32, the default."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ForceField(energy_model())


def small(architecture: type[torch.nn.Module]) -> Callable[[], ForceField]:
    """An architecture with those of the options in `SMALL` that its constructor takes, and `OWN` ones."""
    taken = {name: SMALL[name] for name in SMALL.keys() & inspect.signature(architecture).parameters.keys()}
    return partial(build, partial(architecture, SPECIES, **taken | OWN.get(architecture.__name__, {})))


def nequip(lmax: int, parity: bool) -> Callable[[], ForceField]:
    """A small NequIP."""
    layers = 4 if parity and lmax else 3
    return partial(
        build, partial(NequIP, SPECIES, **SMALL | {"lmax": lmax, "parity": parity, "layers": layers})
    )


def mace(**options: Any) -> Callable[[], ForceField]:
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
    for lmax, parity in ((0, True), (1, False), (2, True), (3, False))
}
"""Every degree, and both with and without parity for vectors and higher tensors."""
MODELS: dict[str, Callable[[], ForceField]] = {
    "toy": partial(build, EmbeddedAtom),
    **NEQUIPS,
    "NequIP with references": partial(
        build, partial(NequIP, SPECIES, **SMALL | {"lmax": 1, "layers": 2} | UNEVEN)
    ),
    **{name: small(architecture) for name, architecture in architectures().items() if name != "NequIP"},
    "MACE, correlation 2, features of l 2": mace(correlation=2, feature_lmax=2),
    "MACE, densities and Agnesi": mace(
        self_connection=(False, True),
        density_normalization=True,
        distance_transform="agnesi",
        correlation=(2, 1),
        readout_hidden=(),
    ),
    "MACE, soft Gaussians": mace(
        self_connection=False, radial_basis="gaussian", distance_transform="soft", correlation=2
    ),
    "WithZBL": partial(build, lambda: WithZBL(NequIP(SPECIES, **SMALL | {"lmax": 1, "layers": 2}))),
    "NequIP without kernels": partial(plain, nequip(1, True)),
    "MACE without kernels": partial(plain, mace(lmax=2)),
}
SLOW = {
    "NequIP with references",
    "NequIP without kernels",
    "NequIP, lmax 3, parity off",
    "MACE without kernels",
    "MACE, correlation 2, features of l 2",
    "MACE, densities and Agnesi",
    "MACE, soft Gaussians",
}
"""Models that take long, and whose shorter siblings are checked in every run."""
