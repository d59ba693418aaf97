"""How accurate is a trained potential on unseen structures, and which architecture is best in a given time?

    symnets train examples/acac_hour.yaml
    python benchmarks/accuracy.py training runs/acac_hour benchmarks/results/acac_hour.json
    python benchmarks/accuracy.py models --minutes 8

Both commands write errors on the four test sets of acetylacetone (in the folder SYMNETS_DATA), validation
errors against training time, configuration and commit. `training` reads the output folder of `symnets train`.
`models` trains five architectures by one recipe (`examples/acac_10_minutes.yaml`: Muon, learning rate 0.01
with a cosine decay, batches of 5), for as many epochs as fit in the same time, two at a time on one thread
each.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import tyro
from machine import machine

from symnets.cli import main as symnets
from symnets.config import read_config
from symnets.demo import seconds_per_step
from symnets.models import ForceField, describe, load
from symnets.potentials import ModelConfig, TrainConfig
from symnets.potentials import train as train_potential

HERE = Path(__file__).parent
CONFIG = HERE.parent / "examples" / "acac_10_minutes.yaml"
SETS = ("test_MD_300K", "test_MD_600K", "test_dihedral", "test_H_transfer")
MODELS = {
    "MACE": ModelConfig("MACE", lmax=3, feature_lmax=2, correlation=3, channels=64, layers=2, n_basis=6),
    "NequIP": ModelConfig("NequIP", lmax=2, channels=32, layers=4, parity=False),
    "Allegro": ModelConfig("Allegro", lmax=2, channels=32, latent=64, layers=2),
    "SE3Transformer": ModelConfig("SE3Transformer", lmax=2, channels=32, layers=4),
    "Invariant": ModelConfig("Invariant", lmax=3, channels=64, layers=4),
}
"""Architectures with sizes for a thread and ten minutes; the cutoff is 5 Å."""
Name = Literal["MACE", "NequIP", "Allegro", "SE3Transformer", "Invariant"]
RESULT = "result.json"


def training(folder: tyro.conf.Positional[Path], output: tyro.conf.Positional[Path], note: str = "") -> None:
    """Evaluate a finished training and write the results.

    Args:
        folder: output folder of `symnets train`.
        output: JSON file to write.
        note: remark to store, such as other load on the machine.
    """
    document = {"question": __doc__, "note": note, "machine": machine(), **result(folder)}
    output.write_text(json.dumps(document, indent=1) + "\n")


def models(
    names: tyro.conf.Positional[tuple[Name, ...]] = tuple(MODELS),
    *,
    minutes: float = 8.0,
    at_a_time: int = 2,
    note: str = "",
    output: Path = HERE / "results" / "acac_models.json",
) -> None:
    """Train architectures for the same time and write their errors; results of the others are kept.

    Args:
        names: architectures to train.
        minutes: time of each training.
        at_a_time: number of trainings that run at the same time, on one thread each.
        note: remark to store, such as other load on the machine.
        output: JSON file to write, after each training.
    """
    before = json.loads(output.read_text())["models"] if output.exists() else {}
    document = {"question": __doc__, "note": note, "machine": machine(), "models": before}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_a_time) as pool:

        def run(name: str) -> dict:
            place = Path(folder) / name
            command = [sys.executable, __file__, "train", name, str(place), "--minutes", str(minutes)]
            subprocess.run(command, env=os.environ | threads, check=True)
            return json.loads((place / RESULT).read_text())

        trainings = [(name, pool.submit(run, name)) for name in names]
        for name, future in trainings:
            try:
                document["models"][name] = {"minutes": minutes, **future.result()}
            except subprocess.CalledProcessError as error:
                print(f"{name}: {error}; the others go on", file=sys.stderr)
                continue
            output.write_text(json.dumps(document, indent=1) + "\n")


def train(
    name: tyro.conf.Positional[Name], folder: tyro.conf.Positional[Path], *, minutes: float = 8.0
) -> None:
    """Train and evaluate one of the architectures of `models`, in this process.

    Args:
        name: the architecture.
        folder: output folder.
        minutes: time of the training, in which the learning rate decays to its final value.
    """
    config = replace(read_config(TrainConfig, CONFIG), model=MODELS[name], max_minutes=None)
    steps_per_epoch = config.data.n_train // config.optimizer.batch_size
    seconds = seconds_per_step(config)
    # The rest of the time is for validation, and for steps that take longer than those timed.
    epochs = max(1, int(0.94 * 60 * minutes / seconds / steps_per_epoch))
    optimizer = replace(config.optimizer, epochs=epochs)
    config = replace(config, output=str(folder), optimizer=optimizer, max_minutes=minutes)
    train_potential(config, progress=False)
    (folder / RESULT).write_text(json.dumps(result(folder)))


def result(folder: Path) -> dict:
    """Errors, duration and configuration of a finished training."""
    with open(folder / "history.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation/forces_rmse"]]
    description = describe(folder / "model.safetensors")
    first, last = rows[0], rows[-1]
    errors = {}
    for name in SETS:
        if symnets(["evaluate", str(folder / "model.safetensors"), f"acac/{name}.xyz"]):
            raise SystemExit(f"{name}: could not be evaluated; is SYMNETS_DATA set?")
        evaluation = json.loads((folder / "evaluation" / name / "errors.json").read_text())
        errors[name] = evaluation["errors"]
        print(name, {kind: evaluation["errors"][kind] for kind in ("energy", "forces")})
    duration = float(last["seconds"]) - float(first["seconds"])
    return {
        "training": description["extra"]["training"],
        "provenance": description["extra"]["provenance"],
        "parameters": sum(p.numel() for p in load(folder / "model.safetensors", ForceField).parameters()),
        "seconds": round(float(last["seconds"])),
        "steps": int(last["step"]),
        "ms_per_step": round(1e3 * duration / max(1, int(last["step"]) - int(first["step"])), 1),
        "validation_forces_rmse_meV": {
            f"{float(row['seconds']) / 60:.1f}": round(1e3 * float(row["validation/forces_rmse"]), 2)
            for row in rows
        },
        "errors_eV": errors,
    }


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"training": training, "models": models, "train": train})
