"""How well does a potential predict after some time of training: symnets with its fused product, symnets with
the plain twin of it, nequip, and symnets' MACE?

    python benchmarks/learning_curves.py --nequip PATH/TO/nequip-venv/bin/python

Acetylacetone, 450 frames to train on and 50 to validate, batches of 5, one thread each. `mace` is
`examples/acac_10_minutes.yaml`; the others are NequIP of 32 channels, four layers, lmax 2. symnets trains as
that file says, `fused` and `plain` with decay 0.02 of the weights, for as many epochs as its implementation
does in the time, so that every learning rate comes to its end; nequip 0.19.1 with Adam, learning rate 0.01
annealed by a cosine of the time, running average of weights 0.999, equal weights of energy per atom and
forces.
Writes results/learning_curves.json and the picture of it in docs/.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro
from machine import machine

from symnets.report import row_of_panels, style

HERE = Path(__file__).parent
CONFIG = HERE.parent / "examples" / "acac_10_minutes.yaml"
LABELS = {
    "mace": "symnets, MACE",
    "fused": "symnets, NequIP",
    "plain": "symnets, NequIP, plain torch",
    "nequip": "nequip 0.19.1",
}


@dataclass
class LearningCurves:
    """Validation errors against time."""

    nequip: Path | None = None
    """Python of an environment with nequip and ase."""
    contestants: tuple[str, ...] = tuple(LABELS)
    """Curves to take anew; the others are kept as they are in the file."""
    minutes: float = 10.0
    output: Path = HERE / "results" / "learning_curves.json"
    picture: Path = HERE.parent / "docs" / "learning_curves.png"

    def run(self) -> None:
        """Train, one after another, and draw."""
        held = json.loads(self.output.read_text()) if self.output.exists() else {"curves": {}}
        document = {"question": __doc__, "machine": machine(), "curves": held["curves"]}
        for name in self.contestants:
            if name != "nequip" or self.nequip is not None:
                document["curves"][name] = self.curve(name)
                self.output.write_text(json.dumps(document, indent=1) + "\n")
        self.draw(document["curves"])

    def curve(self, name: str) -> list[dict[str, float]]:
        """Seconds and validation errors of one training."""
        with tempfile.TemporaryDirectory() as folder:
            python = str(self.nequip) if name == "nequip" else sys.executable
            worker = HERE / "workers" / ("nequip_training.py" if name == "nequip" else "symnets_training.py")
            request = {
                "contestant": name,
                "config": str(CONFIG),
                "output": folder,
                "minutes": self.minutes,
            }
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            subprocess.run(
                [python, "-W", "ignore", str(worker), json.dumps(request)], env=environment, check=True
            )
            with open(Path(folder) / "history.csv", newline="") as file:
                rows = [row for row in csv.DictReader(file) if row["validation/forces_rmse"]]
        return [
            {
                "seconds": round(float(row["seconds"]), 1),
                "steps": int(row["step"]),
                "forces_rmse_meV": round(1e3 * float(row["validation/forces_rmse"]), 2),
                "energy_rmse_meV": round(1e3 * float(row["validation/energy_rmse"]), 2),
            }
            for row in rows
        ]

    def draw(self, curves: dict[str, list[dict[str, float]]]) -> None:
        """Force errors against minutes."""
        with style():
            fig, (ax,) = row_of_panels(1)
            for name, rows in ((name, curves[name]) for name in LABELS if name in curves):
                minutes, errors = [r["seconds"] / 60 for r in rows], [r["forces_rmse_meV"] for r in rows]
                ax.semilogy(minutes, errors, label=f"{LABELS[name]}: {errors[-1]:.1f}")
            ax.set(xlabel="minutes of training", ylabel="validation force RMSE, meV/Å")
            ax.legend()
            fig.savefig(self.picture, dpi=150)


if __name__ == "__main__":
    tyro.cli(LearningCurves).run()
