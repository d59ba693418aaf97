"""Small models of every architecture, a batch of two structures, and the gradient of a loss on it."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from symnets.data import Batch, build_graphs, collate
from symnets.models import MACE, Allegro, ForceField, Invariant, NequIP, SE3Transformer, SevenNet, WithZBL
from symnets.testing import random_crystal, random_molecule

SPECIES = (1, 6, 8)
SMALL = {"cutoff": 4.0, "channels": 2, "layers": 2, "radial_hidden": (4,), "mean_neighbors": 10.0}
PAIRS = {name: value for name, value in SMALL.items() if name != "radial_hidden"}
SEVEN = {"cutoff": 4.0, "irreps": ("2x0e", "2x0e+2x1e", "2x0e"), "lmax": 1, "radial_hidden": (4,)}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "NequIP": partial(NequIP, SPECIES, lmax=1, **SMALL),
    "Allegro": partial(Allegro, SPECIES, lmax=1, latent=4, hidden=(4,), **PAIRS),
    "MACE": partial(MACE, SPECIES, lmax=2, correlation=2, **SMALL),
    "Invariant": partial(Invariant, SPECIES, lmax=2, **SMALL),
    "SE3Transformer": partial(SE3Transformer, SPECIES, lmax=1, heads=2, **SMALL),
    "SevenNet": partial(SevenNet, SPECIES, **SEVEN),
    "SevenNet, xplor": partial(SevenNet, SPECIES, switch_on=3.0, species_self_connection=True, **SEVEN),
    "WithZBL": lambda: WithZBL(NequIP(SPECIES, lmax=1, **SMALL)),
}


def force_field(name: str, dtype: torch.dtype = torch.float64) -> ForceField:
    """One of `MODELS` with seeded weights, on the CPU."""
    torch.manual_seed(0)
    return ForceField(MODELS[name]()).to(dtype)


def batch(dtype: torch.dtype = torch.float64) -> Batch:
    """A molecule and a crystal, with energies and forces to learn."""
    structures = [random_molecule(SPECIES, 4, seed=0), random_crystal(SPECIES, 2, seed=1)]
    graphs = build_graphs(structures, 4.0, dtype=dtype)
    for n, graph in enumerate(graphs):
        graph.energy = torch.tensor([float(n)], dtype=torch.float64)
        graph.forces = torch.full_like(graph.pos, 0.1)
    return collate(graphs)


def gradient(model: ForceField, data: Batch) -> dict[str, Tensor]:
    """Gradient of a loss on energies, forces and stress by the weights: second derivatives of the energy."""
    predicted = model.train()(data.inputs)
    loss = (predicted.forces - data.targets.forces).square().mean().double()
    loss = loss + (predicted.energy - data.targets.energy).square().mean()
    assert predicted.stress is not None
    loss = loss + predicted.stress.nan_to_num().square().mean()
    names, weights = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


def deviation(there: Tensor, here: Tensor) -> float:
    """Largest difference divided by the largest number, or by 0.001 if that is larger; NaN equals NaN."""
    there, here = there.detach().cpu().double(), here.detach().double()
    assert torch.equal(there.isnan(), here.isnan())
    difference = (there - here).nan_to_num().abs().max()
    return float(difference / here.nan_to_num().abs().max().clamp(min=1e-3))
