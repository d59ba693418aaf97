"""How long do energy and forces and a training step take, compared with other packages?

    python benchmarks/force_field.py --peers nequip=PYTHON mace=PYTHON sevenn=PYTHON schnetpack=PYTHON ...

PYTHON is the interpreter of an environment with the package (`pip install 'torch>=2.9,<2.14' lazy_loader` and
nequip==0.19.1, mace-torch==0.3.16, sevenn==0.13.0, schnetpack==2.0.4 or torchmd-net==3.1.0). Packages without
an interpreter are skipped. All programs get the same precomputed graph; times do not include neighbour lists.
The programs of a case run alternately, each time in a new process, and a ratio is the median over rounds of
two times in the same round. Float32; one thread, or the number after an @.

- nequip: 64 channels, lmax 2, 4 layers, 8 Bessel functions, cutoff 5 Å, radial MLP [64, 64], no parity.
  `symnets:compiled` is `symnets.simulate.compile`; `nequip:compiled` is the result of nequip-compile
  (AOTInductor, target ase; stored in --packages, `build_s` is the time of its compilation).
- train: a step of Adam on energy and forces; `nequip:compiled` has `compile_mode: compile`.
- threads: the same with two threads and with one.
- 7net-0, 7net-l3i5: SevenNet's published weights, in SevenNet and converted by `from_sevennet`.
- mace, mace-train: 128x0e+128x1o, lmax 3, correlation 3, 2 layers, radial MLP [64, 64, 64].
- painn: 64 features, 4 interactions; tensornet: 64 channels, 2 layers; compared with the compiled NequIP.

Memory is the peak resident memory of the process, and its growth since just before the first call.
Needs the extras `bench` and `sevennet`.
"""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import tyro
from machine import machine
from systems import SYSTEMS
from turns import contest, graph_file, pythons

from symnets.models import from_sevennet, save

HERE = Path(__file__).parent


class Case(NamedTuple):
    """Model, systems and programs of a case."""

    model: str
    systems: tuple[str, ...]
    mode: str
    contestants: tuple[str, ...]
    channels: int = 64


SYMNETS = ("symnets", "symnets:compiled")
ALL = (*SYMNETS, "nequip", "nequip:compiled")
SEVENNET = (*SYMNETS, "sevenn")
CASES = {
    "nequip": Case("nequip", ("cu64", "cu512"), "evaluate", ALL),
    "train": Case("nequip", ("molecules16x21",), "train", ("symnets", "nequip", "nequip:compiled")),
    "threads": Case(
        "nequip", ("cu512",), "evaluate", tuple(f"{name}@{n}" for name in ALL[:3] for n in (1, 2))
    ),
    "7net-0": Case("7net-0", ("cu64", "cu512"), "evaluate", SEVENNET),
    "7net-l3i5": Case("7net-l3i5", ("cu64", "cu512"), "evaluate", SEVENNET),
    "painn": Case("painn", ("cu64",), "evaluate", ("symnets:compiled", "schnetpack")),
    "tensornet": Case("tensornet", ("cu64",), "evaluate", ("symnets:compiled", "torchmdnet")),
    "mace": Case("mace", ("cu64", "cu512"), "evaluate", (*SYMNETS, "mace"), channels=128),
    "mace-train": Case("mace", ("molecules16x21",), "train", ("symnets", "mace"), channels=128),
}


@dataclass
class Benchmark:
    """Time and memory of force fields."""

    peers: tuple[str, ...] = ()
    """package=python; without any, only symnets is timed."""
    cases: tuple[str, ...] = tuple(CASES)
    systems: tuple[str, ...] = tuple(SYSTEMS)
    """Systems to run, among those of each case."""
    rounds: int = 3
    """Number of runs of each program."""
    seconds: float = 5.0
    """Time of the measurement in a run."""
    packages: Path = Path.home() / ".cache" / "symnets-benchmarks"
    """Folder of nequip's compiled models."""
    output: Path = HERE / "results" / "force_field.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each row. Rows of other cases and systems are kept."""
        document = {"question": __doc__, "machine": machine(), "systems": SYSTEMS, "rows": self.rows}
        if self.output.exists():
            before = json.loads(self.output.read_text())["rows"]
            self.rows += [
                row for row in before if row["case"] not in self.cases or row["system"] not in self.systems
            ]
        for name in self.cases:
            for system in [s for s in CASES[name].systems if s in self.systems]:
                self.rows.append({"case": name} | self.row(CASES[name], system))
                print(json.dumps(self.rows[-1]), flush=True)
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, case: Case, system: str) -> dict:
        """Time all programs alternately for one system."""
        with tempfile.TemporaryDirectory() as folder:
            sizes = graph_file(system, 5.0, f"{folder}/graph.npz")
            request = {
                "graph": f"{folder}/graph.npz",
                "model": case.model,
                "mode": case.mode,
                "channels": case.channels,
                "lmax": 2,
                "mean_neighbors": round(sizes["edges"] / sizes["atoms"]),
                "seconds": self.seconds,
                "packages": str(self.packages),
            }
            if case.model.startswith("7net"):
                request["file"] = f"{folder}/model.safetensors"
                save(from_sevennet(case.model), request["file"])
            measured = contest(pythons(self.peers), case.contestants, request, self.rounds)
        return sizes | {"channels": case.channels, "mode": case.mode} | measured


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
