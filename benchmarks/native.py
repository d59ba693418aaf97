"""How long do a call of a compiled potential and a step of molecular dynamics take as one native function?

    python benchmarks/native.py
    python benchmarks/native.py --parts peers --peers nequip=PYTHON mace=PYTHON symmetrix=PYTHON sevenn=PYTHON

PYTHON is the interpreter of an environment with the package, as for force_field.py and foundation_mace.py.
Random weights, float32. Systems: ethanol (9 atoms), dipropyl ether (21), copper (64 and 512), and a batch of
16 molecules of 21 atoms, whose time is for the whole batch.

- steps: the compiled model as a native function, and the same model evaluated by torch (its twin), in one
  process, alternately. `call` is one call of the model on a graph that is ready; `function` is the native
  function alone, on arrays, compared with a call of the twin; `step` is one step of velocity Verlet in ASE,
  neighbours included. The atoms move slowly (10 K), so that the neighbour list is rebuilt about once in 100
  steps, as it is for atoms that stay together at 300 K. A ratio is the median over rounds of two times of the
  same round.
- peers: calls in separate processes, as in force_field.py, compared with other packages; with memory.
- export: seconds and size of the shared library of each kind of model, and seconds of the native function's
  first call in Python.

Models: NequIP of 32 and 64 channels (lmax 2, 3 layers, no parity); Invariant with its defaults; MACE
128x0e+128x1o; SevenNet of the size of SevenNet-0. Needs the extra `bench`.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from foundation_mace import MODELS as MACE_MODELS
from machine import machine
from systems import SYSTEMS, structures
from turns import contest, graph_file, pythons, turn

from symnets.data import build_graphs, collate
from symnets.models import MACE, ForceField, Invariant, NequIP, SevenNet, load, save
from symnets.simulate import compile

HERE = Path(__file__).parent
SCALE = 0.01
"""eV; random weights give small forces, so that a trajectory stays near its start."""
TOLERANCE = 1e-4 * SCALE
NEQUIP = {"lmax": 2, "layers": 3, "parity": False}
ARCHITECTURES: dict[str, Callable[..., torch.nn.Module]] = {
    "nequip32": lambda species, **options: NequIP(species, channels=32, **NEQUIP, **options),
    "nequip64": lambda species, **options: NequIP(species, channels=64, **NEQUIP, **options),
    "invariant": Invariant,
    "mace": lambda species, **options: MACE(species, channels=128, radial_hidden=(64, 64, 64), **options),
    "sevennet": SevenNet,
}
STEPS = ("ethanol", "ether", "molecules16x21", "cu64", "cu512")


class Contest(NamedTuple):
    """A model of a peer, and the systems on which it is timed."""

    systems: tuple[str, ...]
    peers: tuple[str, ...]
    options: dict[str, Any]


CONTESTS = {
    "nequip32": Contest(
        ("ethanol", "ether"), ("nequip", "nequip:compiled"), {"channels": 32, "lmax": 2, "layers": 3}
    ),
    "nequip64": Contest(
        ("cu64", "cu512"), ("nequip", "nequip:compiled"), {"channels": 64, "lmax": 2, "layers": 3}
    ),
    "mace": Contest(("ethanol", "ether", "cu64", "cu512"), ("mace", "symmetrix"), {"channels": 128}),
}


@dataclass
class Benchmark:
    """Time and memory of native functions."""

    parts: tuple[str, ...] = ("steps", "peers", "export")
    models: tuple[str, ...] = tuple(ARCHITECTURES)
    systems: tuple[str, ...] = STEPS
    peers: tuple[str, ...] = ()
    """package=python; without any, only symnets is timed."""
    threads: tuple[int, ...] = (1, 2)
    peer_threads: tuple[int, ...] = (1,)
    """Numbers of threads in the comparison with other packages."""
    rounds: int = 7
    """Number of turns of each program."""
    seconds: float = 0.3
    """Time of a turn."""
    runs: int = 3
    """Number of runs in the comparison with other packages, each of which takes ten turns and a start."""
    packages: Path = Path.home() / ".cache" / "symnets-benchmarks"
    """Folder of nequip's compiled models."""
    output: Path = HERE / "results" / "native.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all parts; print and save after each row. Rows of other parts, models and systems are kept."""
        if self.output.exists():
            self.rows += [row for row in json.loads(self.output.read_text())["rows"] if not self.repeats(row)]
        for part in self.parts:
            for row in {"steps": self.steps, "peers": self.contests, "export": self.exports}[part]():
                self.rows.append({"part": part} | row)
                print(json.dumps(self.rows[-1]), flush=True)
                document = {"question": __doc__, "machine": machine(), "torch": torch.__version__}
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document | {"rows": self.rows}, indent=1) + "\n")

    def repeats(self, row: dict) -> bool:
        """Whether a row of an earlier run is measured again."""
        here = row["part"] in self.parts and row["model"] in self.models
        return here and row.get("system", self.systems[0]) in self.systems

    def steps(self) -> Iterator[dict]:
        """Calls and steps, as a native function and by torch."""
        for model in self.models:
            for system in self.systems:
                with tempfile.TemporaryDirectory() as folder:
                    save(compiled_model(model, system), f"{folder}/compiled.safetensors")
                    request = {
                        "file": f"{folder}/compiled.safetensors",
                        "system": system,
                        "threads": max(self.threads),
                        "all_threads": self.threads,
                        "rounds": self.rounds,
                        "seconds": self.seconds,
                    }
                    measured = turn(sys.executable, "native_steps", request)
                    yield {"model": model, "system": system} | measured

    def contests(self) -> Iterator[dict]:
        """Calls compared with those of other packages."""
        interpreters = pythons(self.peers)
        for model, contest_ in CONTESTS.items():
            if model not in self.models or (model == "mace" and "mace" not in interpreters):
                continue
            for system in [s for s in contest_.systems if s in self.systems]:
                with tempfile.TemporaryDirectory() as folder:
                    sizes = graph_file(system, 5.0, f"{folder}/graph.npz")
                    mean_neighbors = round(sizes["edges"] / sizes["atoms"])
                    request = contest_.options | {
                        "graph": f"{folder}/graph.npz",
                        "model": model,
                        "mode": "evaluate",
                        "mean_neighbors": mean_neighbors,
                        "file": f"{folder}/compiled.safetensors",
                        "compiled_file": f"{folder}/compiled.safetensors",
                        "mace_file": f"{folder}/mace.model",
                        "symmetrix_file": f"{folder}/symmetrix.json",
                        "seconds": 10 * self.seconds,
                        "packages": str(self.packages),
                    }
                    if model == "mace":
                        made = make_mace(interpreters, system, request, f"{folder}/model.safetensors")
                        save(compile(made), request["compiled_file"])
                    else:
                        save(compiled_model(model, system), request["compiled_file"])
                    for threads in self.peer_threads:
                        suffix = "" if threads == 1 else f"@{threads}"
                        programs = ("symnets:native", "symnets:torch", *contest_.peers)
                        measured = contest(
                            interpreters, [name + suffix for name in programs], request, self.runs
                        )
                        yield {"model": model, "threads": threads} | sizes | measured

    def exports(self) -> Iterator[dict]:
        """Export of each kind of model."""
        from symnets.deploy import export

        for model in self.models:
            with tempfile.TemporaryDirectory() as folder:
                compiled, file = compiled_model(model, "ether"), f"{folder}/libmodel.so"
                start = time.perf_counter()
                export(compiled, file)
                seconds = time.perf_counter() - start
                size = Path(file).stat().st_size
                compiled = compiled_model(model, "ether")
                graph = collate(build_graphs(structures("ether"), compiled.cutoff)).inputs
                start = time.perf_counter()
                compiled(graph)
                first = time.perf_counter() - start
                row = {"export_s": round(seconds, 2), "library_mb": round(size / 1e6, 2)}
                yield {"model": model} | row | {"first_call_s": round(first, 2)}


def compiled_model(model: str, system: str) -> ForceField:
    """A compiled model with random weights, for the elements of a system."""
    torch.manual_seed(0)
    graph = collate(build_graphs(structures(system), 5.0)).inputs
    mean_neighbors = graph.edge_index.shape[1] / len(graph.z)
    species = sorted(set(graph.z.tolist()))
    energy_model = ARCHITECTURES[model](species, mean_neighbors=mean_neighbors, scale=SCALE)
    return compile(ForceField(energy_model), tolerance=TOLERANCE)


def make_mace(interpreters: dict[str, str], system: str, request: dict, file: str) -> ForceField:
    """A MACE of mace-torch, converted; its files for mace-torch and symmetrix-xl are made, too."""
    job = MACE_MODELS["residual"] | {
        "threads": 1,
        "species": sorted({int(z) for atoms in structures(system) for z in atoms.numbers}),
        "irreps": f"{request['channels']}x0e + {request['channels']}x1o",
        "mean_neighbors": request["mean_neighbors"],
        "mace_file": request["mace_file"],
        "symnets_file": file,
    }
    if "symmetrix" in interpreters:
        job["symmetrix_file"] = request["symmetrix_file"]
    turn(interpreters["mace"], "mace_prepare", job)
    return load(file, ForceField)


if __name__ == "__main__":
    assert set(STEPS) <= set(SYSTEMS)
    tyro.cli(Benchmark).run()
