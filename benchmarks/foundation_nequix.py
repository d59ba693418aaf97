"""How much faster is a published Nequix model in symnets than in Nequix?

    python benchmarks/foundation_nequix.py --nequix PYTHON

PYTHON is the interpreter of an environment with nequix==0.4.5, JAX for the CPU and lazy_loader. Energy,
forces and stress of nequix-oam-1 (128x0e+64x1o+32x2e+32x3o, four layers, cutoff 6 Å, float32) for rattled
copper, 64 and 512 atoms:

- nequix: JAX on the CPU, no kernels, after its own jit; arrays on the device, one atom and no edge of padding
  (its calculator pads the edges by a tenth);
- symnets: the model of `from_nequix`; symnets:compiled: `symnets.simulate.compile` of it with its default
  tolerance of 10⁻⁴ eV/Å.

All programs get the same precomputed graph; times do not include neighbour lists. They run alternately, each
time in a new process, bound to the same core, so that XLA's thread pool has one thread; a ratio is the median
over rounds of two times in the same round. Memory is the peak resident memory of the process, and its growth
since just before the first call. Needs the extra `bench`.
"""

import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import tyro
from machine import machine
from systems import SYSTEMS
from turns import contest, graph_file, pythons

from symnets.models import foundation_file, foundation_model, save
from symnets.simulate import compile

HERE = Path(__file__).parent
CONTESTANTS = ("symnets", "symnets:compiled", "nequix")


@dataclass
class Benchmark:
    """Time and memory of a Nequix model."""

    nequix: str | None = None
    """Interpreter of Nequix's environment; without it only symnets is timed."""
    model: str = "nequix-oam-1"
    systems: tuple[str, ...] = ("cu64", "cu512")
    rounds: int = 5
    """Number of runs of each program."""
    seconds: float = 5.0
    """Time of the measurement in a run."""
    output: Path = HERE / "results" / "foundation_nequix.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all systems; print and save after each row."""
        document = {"question": __doc__, "model": self.model, "machine": machine(), "rows": self.rows}
        # All programs inherit these.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.environ |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}
        with tempfile.TemporaryDirectory() as folder:
            model = foundation_model(self.model)
            start = time.perf_counter()
            compiled = compile(model)
            document["compile"] = {
                "seconds": round(time.perf_counter() - start, 1),
                "knots": compiled.n_knots,
            }
            save(compiled, f"{folder}/compiled.safetensors")
            save(model, f"{folder}/model.safetensors")
            for system in self.systems:
                self.rows.append(self.row(system, folder, model.cutoff))
                print(json.dumps(self.rows[-1]), flush=True)
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, system: str, folder: str, cutoff: float) -> dict:
        """Time all programs alternately for one system."""
        sizes = graph_file(system, cutoff, f"{folder}/graph.npz")
        request = {
            "graph": f"{folder}/graph.npz",
            "model": self.model,
            "mode": "evaluate",
            "file": f"{folder}/model.safetensors",
            "compiled_file": f"{folder}/compiled.safetensors",
            "nqx": str(foundation_file(self.model).resolve()),
            "seconds": self.seconds,
        }
        peers = () if self.nequix is None else (f"nequix={self.nequix}",)
        measured = contest(pythons(peers), CONTESTANTS, request, self.rounds)
        return sizes | {"description": SYSTEMS[system]} | measured


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
