"""How do time and memory of energy and forces grow with atoms, channels and lmax?

    python benchmarks/scaling.py --peers nequip=PATH/TO/nequip-venv/bin/python

NequIP as in force_field.py (4 layers, cutoff 5 Å, float32, one thread) on rattled fcc copper: 64 to 8,000
atoms at 64 channels and lmax 2; 16 to 128 channels and lmax 1 to 3 at 64 atoms. symnets runs both as trained
and compiled, nequip in eager mode; each run is a new process. Needs the extra `bench`."""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from machine import machine
from turns import contest, graph_file, pythons

HERE = Path(__file__).parent
CONTESTANTS = ("symnets", "symnets:compiled", "nequip")
SWEEPS = {
    "atoms": [{"system": f"cu{n}"} for n in (64, 512, 2048, 8000)],
    "channels": [{"channels": n} for n in (16, 32, 64, 128)],
    "lmax": [{"lmax": n} for n in (1, 2, 3)],
}


@dataclass
class Benchmark:
    """Time and memory against atoms, channels and lmax."""

    peers: tuple[str, ...] = ()
    """package=python of its environment."""
    sweeps: tuple[str, ...] = tuple(SWEEPS)
    rounds: int = 2
    """Number of runs of each program."""
    seconds: float = 3.0
    """Time of the measurement in a run."""
    peers_to: int = 2048
    """Largest number of atoms for other packages: nequip needs about 3 MB per atom."""
    output: Path = HERE / "results" / "scaling.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all points; print and save after each row. Rows of other sweeps are kept."""
        document = {"question": __doc__, "machine": machine(), "rows": self.rows}
        if self.output.exists():
            before = json.loads(self.output.read_text())["rows"]
            self.rows += [row for row in before if row["sweep"] not in self.sweeps]
        for sweep in self.sweeps:
            for point in SWEEPS[sweep]:
                case = {"system": "cu64", "channels": 64, "lmax": 2} | point
                self.rows.append({"sweep": sweep} | self.row(case))
                print(json.dumps(self.rows[-1]), flush=True)
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, case: dict) -> dict:
        """Time all programs alternately for one point."""
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            sizes = graph_file(case["system"], 5.0, file.name)
            peers = self.peers if sizes["atoms"] <= self.peers_to else ()
            request = case | {
                "graph": file.name,
                "model": "nequip",
                "mode": "evaluate",
                "mean_neighbors": 43,
                "seconds": self.seconds,
            }
            measured = contest(pythons(peers), CONTESTANTS, request, self.rounds)
        for name in [n for n in CONTESTANTS if "ms" in measured.get(n, {})]:
            measured[name]["us_per_atom"] = round(1000 * measured[name]["ms"] / sizes["atoms"], 1)
            measured[name]["kb_per_atom"] = round(1024 * measured[name]["above_start_mb"] / sizes["atoms"], 1)
        return case | sizes | measured


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
