"""Compile a force field for inference, with its error measured."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii

from symnets.data import AtomGraph, build_graphs, collate
from symnets.models import Compiled, EnergyForces, ForceField

KNOTS = (50, 100, 200, 500, 1000, 2000)
"""Multiples of ten or so: kinks of envelopes, such as that of X-PLOR at 0.9 of the cutoff, fall on a knot."""
N_STRUCTURES, N_ATOMS = 8, 24
LARGE_FORCE = 10.0
"""eV/Å; errors of larger forces are relative."""
MARGIN = 4.0
"""By how much the error on clusters has to stay below the tolerance: crystals have more neighbours."""


class CompileError(NamedTuple):
    """How far a compiled model is from its original, in float64."""

    forces: float
    """Largest difference of a force component, eV/Å; where the force on an atom is longer than 10 eV/Å, the
    difference for each 10 eV/Å of it."""
    energy: float
    """Largest difference of an atom's energy, eV."""


def compile(model: ForceField, *, tolerance: float = 1e-4, seed: int = 0) -> Compiled:
    """A force field for inference: radial networks become tables, as coarse as the tolerance allows.

    It is made on the CPU, and put where the model is.

    Its error is measured in float64 on dense random clusters of elements it knows, no two atoms closer than
    0.8 of the sum of their covalent radii, where it has to be four times smaller. A float32 model rounds its
    tables, as it rounds all that it computes; that comes on top. `compile_error` measures both, on structures
    of yours.

    Args:
        model: trained; it is copied.
        tolerance: largest error of a force component in eV/Å; of forces beyond 10 eV/Å, for each 10 eV/Å.
        seed: of the clusters.

    Raises:
        ValueError: the model is compiled, its layers cannot be, or no table is exact enough.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected a positive number of eV/Å, got {tolerance}")
    if isinstance(model, Compiled):
        raise ValueError(f"compile: the model is compiled, with {model.n_knots} knots; compile the original")
    graph = _clusters(model, seed)
    device = _device(model)
    model = copy.deepcopy(model).cpu()
    double = copy.deepcopy(model).double().eval().requires_grad_(False)
    exact, error = double(graph), CompileError(np.inf, np.inf)
    for n_knots in KNOTS:
        error = _difference(exact, Compiled(double.energy_model, n_knots)(graph))
        if MARGIN * error.forces <= tolerance:
            return Compiled(model.energy_model.requires_grad_(False), n_knots).to(device)
    raise ValueError(
        f"compile: with {KNOTS[-1]} knots forces still differ by {error.forces:.2g} eV/Å on random "
        f"clusters, more than a quarter of the tolerance {tolerance:g}; the radial functions are not smooth, "
        "or the forces there are very large: pass a larger one, and look at compile_error on your structures"
    )


def compile_error(model: ForceField, compiled: ForceField, graph: AtomGraph) -> CompileError:
    """Differences of two force fields on a graph, computed in float64 where the first of them is."""
    device = _device(model)
    double = copy.copy(graph).to(str(device))  # a copy: PyG moves graphs in place
    for name, field in graph.to_dict().items():
        if isinstance(field, torch.Tensor) and field.is_floating_point():
            double[name] = field.to(device, torch.float64)
    exact, table = (copy.deepcopy(field).to(device, torch.float64).eval() for field in (model, compiled))
    return _difference(exact(double), table(double))


def _device(model: ForceField) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _difference(a: EnergyForces, b: EnergyForces) -> CompileError:
    # Atoms of random clusters may be where no data were, with forces of any size: digits count there.
    size = (a.forces.norm(dim=1, keepdim=True) / LARGE_FORCE).clamp(min=1.0)
    return CompileError(
        float(((a.forces - b.forces) / size).abs().max()), float((a.node_energy - b.node_energy).abs().max())
    )


def _clusters(model: ForceField, seed: int) -> AtomGraph:
    """Dense random clusters of the elements a model knows, in float64; half of them of the smallest four."""
    rng = np.random.default_rng(seed)
    by_size = sorted(model.species, key=lambda z: covalent_radii[z])
    made = []
    for k in range(N_STRUCTURES):
        elements = by_size[:4] if k % 2 == 0 else rng.choice(model.species, 3)
        numbers, places, side = rng.choice(elements, N_ATOMS), np.empty((0, 3)), 1.0
        while len(places) < N_ATOMS:
            place = side * rng.uniform(-1, 1, 3)
            radii = covalent_radii[numbers[: len(places)]] + covalent_radii[numbers[len(places)]]
            if (np.linalg.norm(places - place, axis=1) > 0.8 * radii).all():
                places = np.vstack([places, place])
            else:
                side += 0.01
        made.append(Atoms(numbers, places))
    return collate(build_graphs(made, model.cutoff, dtype=torch.float64)).inputs
