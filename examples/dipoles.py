"""Dipoles of small molecules: charges and atomic dipoles against charges alone, after equal training time.

    python examples/dipoles.py runs/dipoles

GFN2-xTB (tblite, `pip install 'symnets[demo]'`) gives the dipoles of the closed-shell molecules of H, C, N
and O in ASE's G2 set, with random displacements. Two models learn them, for the same time, with the same
network:

- dipole = Σ q_i (r_i - R) + Σ μ_i: conserved charges, and a vector on each atom (`kind: dipole`);
- dipole = Σ q_i (r_i - R): conserved charges alone (`kind: dipole of charges`).

The script prints their errors on new displacements of the same molecules and on molecules that are not in the
training set, and the violation of the rotation law μ(R x) = R μ(x), where R is a rotation matrix. It writes
parity plots.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import ase.io
import numpy as np
import torch
import tyro
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.collections import g2
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tyro.conf import Positional

from symnets.data import Loader, TensorColumn, add_tensor_labels, build_graphs, read_structures, split
from symnets.models import TensorModel, load
from symnets.observables import TensorValues, tensor_error, tensor_predictions
from symnets.potentials import (
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TensorConfig,
    TrainConfig,
    train,
)
from symnets.provenance import provenance
from symnets.report import save_picture, tensor_parity
from symnets.testing import random_rotation

KINDS = {"charges and atomic dipoles": "dipole", "charges alone": "dipole of charges"}
DEBYE = 4.803204712570263
"""1 e·Å in debye."""
N_NEW = 10
"""Molecules that are not in the training set."""
TURNS = 4
"""Turns in which the models are trained."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Dipoles of small molecules: charges and atomic dipoles, compared with charges alone."""

    output: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder for data, models, and dipoles.png."""
    minutes: float = 2.0
    """Training time of each model in minutes."""
    displaced: int = 12
    """Displaced structures of each molecule to train on; two more are for validation, two for the test."""
    results: Path | None = None
    """File for the numbers, as JSON."""


def displaced(name: str, rng: np.random.Generator) -> Atoms | None:
    """A molecule with random displacements and its dipole in e·Å; None if GFN2-xTB does not converge."""
    from tblite.ase import TBLite

    atoms = molecule(name)
    atoms.set_initial_magnetic_moments(None)
    atoms.positions += rng.normal(scale=0.06, size=atoms.positions.shape)
    atoms.positions = atoms.positions @ random_rotation(int(rng.integers(2**31))).T
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    try:
        dipole = atoms.get_dipole_moment()
    except RuntimeError:
        return None
    labelled = Atoms(atoms.numbers, atoms.positions, info={"molecule": name})
    labelled.calc = SinglePointCalculator(labelled, dipole=dipole)
    return labelled


def make_data(folder: Path, n_train: int) -> dict[str, Path]:
    """Files of structures for training and validation, and for tests on the same and on new molecules."""
    files = {name: folder / f"{name}.xyz" for name in ("train", "validation", "same", "new")}
    if all(file.exists() for file in files.values()):
        return files
    names = [
        name
        for name in g2.names
        if len(g2[name]) > 1
        and set(g2[name].get_chemical_symbols()) <= {"H", "C", "N", "O"}
        and not g2[name].get_initial_magnetic_moments().any()
    ]
    rng = np.random.default_rng(0)
    (chosen,) = split(len(names), (N_NEW,), seed=0)
    parts: dict[str, list[Atoms]] = {name: [] for name in files}
    for index, name in enumerate(track(names, "GFN2-xTB", console=Console(stderr=True))):
        uses = ["new"] * 4 if index in chosen else ["train"] * n_train + ["validation"] * 2 + ["same"] * 2
        for use in uses:
            if (atoms := displaced(name, rng)) is not None:
                parts[use].append(atoms)
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        ase.io.write(file, parts[name], format="extxyz")
    return files


def configuration(options: Options, files: dict[str, Path], kind: str) -> TrainConfig:
    """Training of a small NequIP on dipoles alone, for 1/TURNS of the time, at a constant learning rate."""
    return TrainConfig(
        data=DataConfig(train=str(files["train"]), validation=str(files["validation"]), n_validation=100),
        output=str(options.output / kind.replace(" ", "_")),
        model=ModelConfig(
            "NequIP", cutoff=4.0, lmax=1, channels=16, layers=3, parity=False, radial_hidden=(16,)
        ),
        loss=LossConfig(energy=0, forces=0),
        tensors={"dipole": TensorConfig(kind=kind)},
        optimizer=OptimizerConfig(
            learning_rate=0.005, batch_size=10, epochs=1000, decay="constant", average=0.99
        ),
        max_minutes=options.minutes / TURNS,
        threads=1,
    )


def predicted(model: TensorModel, file: Path) -> TensorValues:
    """Predicted and labelled dipoles of a file."""
    structures = read_structures(file)
    dtype = next(model.parameters()).dtype
    graphs = build_graphs(structures, model.cutoff, dtype=dtype)
    add_tensor_labels(graphs, structures, {"dipole": TensorColumn("dipole", (3,), of_atoms=False)})
    return tensor_predictions(model, Loader(graphs, 50))["dipole"]


def rotation_error(model: TensorModel, file: Path, dtype: torch.dtype) -> float:
    """max |μ(R x) - R μ(x)| / max |μ| for a random rotation of all structures of a file."""
    model, matrix = model.to(dtype), random_rotation(1)
    outputs = []
    for rotation in (np.eye(3), matrix):
        structures = read_structures(file)
        for atoms in structures:
            atoms.positions = atoms.positions @ rotation.T
        graphs = build_graphs(structures, model.cutoff, dtype=dtype)
        with torch.no_grad():
            outputs += [
                batch.tensors["dipole"].double() for batch in (model(g) for g, _ in Loader(graphs, 1000))
            ]
    before, after = outputs
    return float((after - before @ torch.as_tensor(matrix).T).abs().max() / before.abs().max())


def main(options: Options) -> dict[str, dict[str, float]]:
    """Make the data, train both models, print and write what they predict."""
    files = make_data(options.output, options.displaced)
    rows: dict[str, dict[str, float]] = {}
    values: dict[str, TensorValues] = {}
    for turn in range(TURNS):  # alternately, so that the load of the machine affects both alike
        for title, kind in KINDS.items():
            state = train(configuration(options, files, kind), resume=True, summary=turn == 0)
            rows[title] = {"steps": float(state.step)}
    for title, kind in KINDS.items():
        model = load(options.output / kind.replace(" ", "_") / "model.safetensors", TensorModel)
        row = rows[title]
        for use in ("same", "new"):
            pairs = predicted(model, files[use])
            error = tensor_error(pairs)
            assert error is not None
            row |= {f"{use} MAE": error.mae, f"{use} RMSE": error.rmse, f"{use} R2": error.r2 or 0.0}
            if use == "same":
                values[title] = pairs
        for dtype in (torch.float32, torch.float64):
            row[f"rotation, {str(dtype).removeprefix('torch.')}"] = rotation_error(model, files["new"], dtype)
    table = Table("RMSE of a component", *KINDS)
    for use, words in (("same", "new displacements"), ("new", "new molecules")):
        cells = [
            f"{row[f'{use} RMSE']:.4f} e·Å = {DEBYE * row[f'{use} RMSE']:.3f} D" for row in rows.values()
        ]
        table.add_row(words, *cells)
        table.add_row("  R²", *(f"{row[f'{use} R2']:.4f}" for row in rows.values()))
    for dtype in ("float32", "float64"):
        table.add_row(
            f"rotation law, {dtype}", *(f"{row[f'rotation, {dtype}']:.1e}" for row in rows.values())
        )
    table.add_row("steps of training", *(f"{row['steps']:.0f}" for row in rows.values()))
    Console(width=100).print(table)
    picture = options.output / "dipoles.png"
    save_picture(tensor_parity(values, dict.fromkeys(values, "e·Å")), picture)
    print(f"{picture}")
    if options.results is not None:
        counts = {name: len(read_structures(file)) for name, file in files.items()}
        content = {
            "minutes": options.minutes,
            "structures": counts,
            "unit": "e·Å",
            "models": rows,
            **provenance(),
        }
        options.results.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return rows


if __name__ == "__main__":
    main(tyro.cli(Options))
