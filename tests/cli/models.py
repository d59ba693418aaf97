"""Saved models and files of labelled structures for tests of the commands."""

from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.models import ForceField, Invariant, load, save
from symnets.simulate import SymnetsCalculator


def saved_model(path: Path, **options: object) -> Path:
    """A file of a force field for hydrogen and oxygen with random weights in float64."""
    torch.manual_seed(0)
    small = {"lmax": 1, "channels": 4, "layers": 1, "radial_hidden": (8,), "cutoff": 3.0}
    energy_model = Invariant(("H", "O"), **(small | {"mean_neighbors": 2.0} | options))
    errors = {"step": 1200, "validation/energy_per_atom_mae": 0.0012, "validation/forces_rmse": 0.0345}
    training = {"output": "runs/water", "model": {"architecture": "Invariant"}}
    save(ForceField(energy_model).double(), path, extra={"errors": errors, "training": training})
    return path


def water(n: int, *, seed: int = 0) -> list[Atoms]:
    """Water molecules with random displacements, without labels."""
    rng = np.random.default_rng(seed)
    rest = np.array([[0.0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
    return [Atoms("OHH", rest + 0.05 * rng.normal(size=rest.shape)) for _ in range(n)]


def label(structures: list[Atoms], model: Path, *, bias: float = 0.0, **omit: bool) -> list[Atoms]:
    """Attach the predictions of a model as labels: energies minus `bias` eV, forces plus 0.01 eV/Å."""
    for atoms in structures:
        truth = atoms.copy()
        truth.calc = SymnetsCalculator(load(model))
        results = {"energy": truth.get_potential_energy() - bias, "forces": truth.get_forces() + 0.01}
        if atoms.pbc.all():
            results["stress"] = truth.get_stress() + 0.001
        kept = {name: value for name, value in results.items() if not omit.get(f"no_{name}")}
        atoms.calc = SinglePointCalculator(atoms, **kept) if kept else None
    return structures


def written(path: Path, structures: list[Atoms]) -> Path:
    ase.io.write(path, structures, format="extxyz")
    return path
