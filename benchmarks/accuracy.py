"""How accurate is a trained potential on unseen structures?

    symnets train examples/acac_hour.yaml
    python benchmarks/accuracy.py runs/acac_hour benchmarks/results/acac_hour.json

Writes errors on the four test sets of acetylacetone (in the folder SYMNETS_DATA), validation errors against
training time, configuration and commit, from the output folder of `symnets train`."""

import csv
import json
from pathlib import Path

import tyro
from machine import machine

from symnets.cli import main as symnets
from symnets.models import describe

SETS = ("test_MD_300K", "test_MD_600K", "test_dihedral", "test_H_transfer")


def main(folder: tyro.conf.Positional[Path], output: tyro.conf.Positional[Path], note: str = "") -> None:
    """Evaluate a finished training and write the results.

    Args:
        folder: output folder of `symnets train`.
        output: JSON file to write.
        note: remark to store, such as other load on the machine.
    """
    with open(folder / "history.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation/forces_rmse"]]
    header = describe(folder / "model.safetensors")["extra"]
    errors = {}
    for name in SETS:
        if symnets(["evaluate", str(folder / "model.safetensors"), f"acac/{name}.xyz"]):
            raise SystemExit(f"{name}: could not be evaluated; is SYMNETS_DATA set?")
        evaluation = json.loads((folder / "evaluation" / name / "errors.json").read_text())
        errors[name] = evaluation["errors"]
        print(name, {kind: evaluation["errors"][kind] for kind in ("energy", "forces")})
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
