"""How much faster is a converted MACE model in symnets than in mace-torch and symmetrix-xl?

    python benchmarks/foundation_mace.py --mace PYTHON --symmetrix PYTHON

The interpreters may be the same: that of an environment with mace-torch==0.3.16, symnets and, without its
dependencies, symmetrix-xl==0.1.1, which needs g++. A model of mace-torch with random weights (128x0e+128x1o,
lmax 3, correlation 3, two layers, cutoff 5 Å) is made once; `from_mace` converts it. Energy, forces and
stress in float32 on one thread for rattled copper, 64 and 512 atoms:

- residual: the blocks of MACE-MP-0; density: those of MACE-MPA-0, with density normalisation, Agnesi
  transform and ZBL repulsion;
- mace: mace-torch itself, eager; symmetrix: symmetrix-xl in its speed profile, from the same file;
- symnets: the converted model; symnets:compiled: `symnets.simulate.compile` of it with its default tolerance
  of 10⁻⁴ eV/Å.

All programs but symmetrix get the same precomputed graph, and their times do not include neighbour lists.
They run alternately, each time in a new process; a ratio is the median over rounds of two times in the same
round. Memory is the peak resident memory of the process, and its growth since just before the first call.
Needs the extra `bench`.
"""

import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from machine import machine
from systems import SYSTEMS
from turns import contest, graph_file, pythons, turn

from symnets.models import ForceField, load, save
from symnets.simulate import compile

HERE = Path(__file__).parent
CONTESTANTS = ("symnets", "symnets:compiled", "mace", "symmetrix")
MODELS = {
    "residual": {"blocks": ["Residual", "Residual"], "distance_transform": "None", "pair_repulsion": False},
    "density": {
        "blocks": ["Density", "DensityResidual"],
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
}
COPPER = 29


@dataclass
class Benchmark:
    """Time and memory of a converted MACE model."""

    mace: str
    """Interpreter of mace-torch's environment, which makes the model."""
    symmetrix: str | None = None
    """Interpreter of symmetrix-xl's environment; without it the others are timed."""
    models: tuple[str, ...] = tuple(MODELS)
    systems: tuple[str, ...] = ("cu64", "cu512")
    channels: int = 128
    rounds: int = 5
    """Number of runs of each program."""
    seconds: float = 5.0
    """Time of the measurement in a run."""
    output: Path = HERE / "results" / "foundation_mace.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all models and systems; print and save after each row."""
        document = {"question": __doc__, "machine": machine(), "rows": self.rows}
        for model in self.models:
            with tempfile.TemporaryDirectory() as folder:
                made = self.make(model, folder)
                for system in self.systems:
                    self.rows.append({"model": model} | made | self.row(system, folder))
                    print(json.dumps(self.rows[-1]), flush=True)
                    self.output.parent.mkdir(exist_ok=True)
                    self.output.write_text(json.dumps(document, indent=1) + "\n")

    def make(self, model: str, folder: str) -> dict:
        """Make a model, convert and compile it; return the time and knots of compilation."""
        sizes = graph_file("cu64", 5.0, f"{folder}/graph.npz")
        request = MODELS[model] | {
            "threads": 1,
            "species": [COPPER],
            "irreps": f"{self.channels}x0e + {self.channels}x1o",
            "mean_neighbors": round(sizes["edges"] / sizes["atoms"]),
            "mace_file": f"{folder}/mace.model",
            "symnets_file": f"{folder}/model.safetensors",
        }
        if self.symmetrix is not None:
            request["symmetrix_file"] = f"{folder}/symmetrix.json"
        turn(self.mace, "mace_prepare", request)
        start = time.perf_counter()
        compiled = compile(load(request["symnets_file"], ForceField))
        save(compiled, f"{folder}/compiled.safetensors")
        seconds = time.perf_counter() - start
        return {"channels": self.channels, "compile_s": round(seconds, 1), "knots": compiled.n_knots}

    def row(self, system: str, folder: str) -> dict:
        """Time all programs alternately for one system."""
        sizes = graph_file(system, 5.0, f"{folder}/graph.npz")
        request = {
            "graph": f"{folder}/graph.npz",
            "model": "mace",
            "mode": "evaluate",
            "channels": self.channels,
            "mean_neighbors": round(sizes["edges"] / sizes["atoms"]),
            "file": f"{folder}/model.safetensors",
            "compiled_file": f"{folder}/compiled.safetensors",
            "mace_file": f"{folder}/mace.model",
            "symmetrix_file": f"{folder}/symmetrix.json",
            "seconds": self.seconds,
        }
        peers = [f"mace={self.mace}"]
        if self.symmetrix is not None:
            peers.append(f"symmetrix={self.symmetrix}")
        measured = contest(pythons(peers), CONTESTANTS, request, self.rounds)
        return sizes | {"description": SYSTEMS[system]} | measured


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
