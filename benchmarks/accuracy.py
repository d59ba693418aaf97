"""How well does a trained potential predict what it has not seen?

    symnets train examples/acac_hour.yaml
    python benchmarks/accuracy.py runs/acac_hour benchmarks/results/acac_hour.json

Errors on acetylacetone's four test sets (of the folder that SYMNETS_DATA names), the validation errors of the
training against its minutes, and its configuration and commit, from the folder that `symnets train` left."""

import csv
import json
from pathlib import Path

import tyro
from machine import machine

from symnets.cli import main as symnets
from symnets.models import describe

SETS = ("test_MD_300K", "test_MD_600K", "test_dihedral", "test_H_transfer")


def main(folder: tyro.conf.Positional[Path], output: tyro.conf.Positional[Path], note: str = "") -> None:
    """Evaluates a training and writes what it says.

    Args:
        folder: of a finished `symnets train`.
        output: the JSON file.
        note: what else was going on.
    """
    with open(folder / "history.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation/forces_rmse"]]
    header = describe(folder / "model.safetensors")["extra"]
    errors = {}
    for name in SETS:
        if symnets(["evaluate", str(folder / "model.safetensors"), f"acac/{name}.xyz"]):
            raise SystemExit(f"{name}: could not be evaluated; is SYMNETS_DATA set?")
        found = json.loads((folder / "evaluation" / name / "errors.json").read_text())
        errors[name] = found["errors"]
        print(name, {kind: found["errors"][kind] for kind in ("energy", "forces")})
    document = {
        "question": __doc__,
        "note": note,
        "machine": machine(),
        "training": header["training"],
        "provenance": header["provenance"],
        "seconds": round(float(rows[-1]["seconds"])),
        "steps": int(rows[-1]["step"]),
        "validation_forces_rmse_meV": {
            f"{float(row['seconds']) / 60:.1f}": round(1e3 * float(row["validation/forces_rmse"]), 2)
            for row in rows
        },
        "errors_eV": errors,
    }
    output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
