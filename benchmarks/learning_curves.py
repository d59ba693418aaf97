"""How accurate is a potential of symnets or of nequip after a given training time?

    python benchmarks/learning_curves.py --nequip PATH/TO/nequip-venv/bin/python

Acetylacetone, 450 training and 50 validation frames, batches of 5, one thread each. `mace` is the MACE of
`examples/acac_10_minutes.yaml`; the others are NequIP of 32 channels, four layers, lmax 2: symnets' with the
fused product (`fused`) and with the product in plain torch (`plain`), and nequip's. symnets is trained with
the configuration of that file, `fused` and `plain` with weight decay 0.02, for as many epochs as fit in the
time, so that each learning-rate schedule ends. nequip 0.19.1 is trained by Adam with learning rate 0.01,
annealed by a cosine of the time, running average of weights 0.999, and equal weights of energy per atom and
forces. Writes results/learning_curves.json and its figure in docs/.
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
    """Curves to measure; the others are kept from the file."""
    minutes: float = 10.0
    output: Path = HERE / "results" / "learning_curves.json"
    picture: Path = HERE.parent / "docs" / "learning_curves.png"

    def run(self) -> None:
        """Train the potentials one after another, and draw the curves."""
        before = json.loads(self.output.read_text()) if self.output.exists() else {"curves": {}}
        document = {"question": __doc__, "machine": machine(), "curves": before["curves"]}
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
        """Plot force errors against minutes."""
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
