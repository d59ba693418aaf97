"""Compilation of a force field for inference: radial networks become tables, with a measured error."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii

from symnets.data import AtomGraph, build_graphs, collate
from symnets.device import model_device, on_device
from symnets.models import Compiled, EnergyForces, ForceField, keep_species
from symnets.nn import modification

KNOTS = (50, 100, 200, 500, 1000, 2000)
"""Numbers of knots to try, multiples of ten: X-PLOR's envelope has a kink at 0.9 of the cutoff."""
N_STRUCTURES, N_ATOMS = 8, 24
LARGE_FORCE = 10.0
"""Force in eV/Å above which errors are relative to the force."""
MARGIN = 4.0
"""Tolerance divided by the largest error allowed on clusters: atoms of crystals have more neighbours."""


class CompileError(NamedTuple):
    """Difference between a compiled model and the original, in float64."""

    forces: float
    """Largest difference of a force component, eV/Å; where the force F on an atom exceeds 10 eV/Å, the
    difference divided by |F| / (10 eV/Å)."""
    energy: float
    """Largest difference of an atom's energy, eV."""


def compile(
    model: ForceField,
    *,
    tolerance: float = 1e-4,
    species: Sequence[str | int] | None = None,
    seed: int = 0,
) -> Compiled:
    """Compile a force field for inference: radial networks become tables, as coarse as the tolerance allows.

    The error is measured in float64 on dense random clusters of the model's elements, with no two atoms
    closer than 0.8 of the sum of their covalent radii; there it must be four times smaller than the
    tolerance. A float32 model also rounds its tables. `compile_error` measures both errors on given
    structures.

    Tables are made on the CPU; the compiled model is on the device of the model.

    Args:
        model: a trained force field, which is copied.
        tolerance: largest error of a force component in eV/Å; for a force F above 10 eV/Å, largest error
            divided by |F| / (10 eV/Å).
        species: elements to keep, see `keep_species`; all by default. Models with a distance transform have
            tables for each pair of elements.
        seed: seed of the random clusters.

    Raises:
        ValueError: the model is already compiled, its layers cannot be compiled, or no table is accurate
            enough.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance: expected a positive number of eV/Å, got {tolerance}")
    if isinstance(model, Compiled):
        raise ValueError(
            f"model: expected the original, got one compiled with {model.n_knots} knots; compile the original"
        )
    if problem := modification(model, ForceField, parts=False):
        raise ValueError(
            f"model: expected an unmodified ForceField, but {problem}; the compiled model would not have "
            "this change"
        )
    if species is not None:
        model = keep_species(model, species)
    error = CompileError(np.inf, np.inf)
    with torch.inference_mode(False), on_device("cpu"):
        graph = _clusters(model, seed)
        device = model_device(model)
        model = copy.deepcopy(model).cpu()
        double = copy.deepcopy(model).double().eval().requires_grad_(False)
        exact = double(graph)
        for n_knots in KNOTS:
            tabulated = Compiled(double.energy_model, n_knots)
            tabulated.use_native = False  # for one call, machine code would take longer to make
            error = _difference(exact, tabulated(graph))
            if MARGIN * error.forces <= tolerance:
                return Compiled(model.energy_model.requires_grad_(False), n_knots).to(device)
    raise ValueError(
        f"compile: with {KNOTS[-1]} knots forces still differ by {error.forces:.2g} eV/Å on random "
        f"clusters, more than a quarter of the tolerance {tolerance:g}; the radial functions are not smooth, "
        "or the forces there are very large; pass a larger tolerance and check compile_error"
    )


def compile_error(model: ForceField, compiled: ForceField, graph: AtomGraph) -> CompileError:
    """Difference of two force fields on a graph, computed in float64 on the device of the first."""
    device = model_device(model)
    double = copy.copy(graph).to(str(device))  # a copy: PyG moves graphs in place
    for name, field in graph.to_dict().items():
        if isinstance(field, torch.Tensor) and field.is_floating_point():
            double[name] = field.to(device, torch.float64)
    with torch.inference_mode(False):
        exact, table = (copy.deepcopy(field).to(device, torch.float64).eval() for field in (model, compiled))
    for field in (exact, table):
        if isinstance(field, Compiled):
            field.use_native = False  # for one call, machine code would take longer to make
    return _difference(exact(double), table(double))


def _difference(a: EnergyForces, b: EnergyForces) -> CompileError:
    # Atoms of random clusters may be far from all data, with huge forces: there the relative error counts.
    size = (a.forces.norm(dim=1, keepdim=True) / LARGE_FORCE).clamp(min=1.0)
    return CompileError(
        float(((a.forces - b.forces) / size).abs().max()), float((a.node_energy - b.node_energy).abs().max())
    )


def _clusters(model: ForceField, seed: int) -> AtomGraph:
    """Dense random clusters of the elements of a model, in float64; half of them of the four smallest."""
    rng = np.random.default_rng(seed)
    by_size = sorted(model.species, key=lambda z: covalent_radii[z])
    clusters = []
    for k in range(N_STRUCTURES):
        elements = by_size[:4] if k % 2 == 0 else rng.choice(model.species, 3)
        numbers, positions, side = rng.choice(elements, N_ATOMS), np.empty((0, 3)), 1.0
        while len(positions) < N_ATOMS:
            position = side * rng.uniform(-1, 1, 3)
            radii = covalent_radii[numbers[: len(positions)]] + covalent_radii[numbers[len(positions)]]
            if (np.linalg.norm(positions - position, axis=1) > 0.8 * radii).all():
                positions = np.vstack([positions, position])
            else:
                side += 0.01
        clusters.append(Atoms(numbers, positions))
    return collate(build_graphs(clusters, model.cutoff, dtype=torch.float64)).inputs
