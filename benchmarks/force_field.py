"""How long do energy and forces, and a training step, take; next to nequip on the same graphs?

    python benchmarks/force_field.py --peer PATH/TO/nequip-venv/bin/python

Every figure comes from a process of its own; symnets and nequip take turns, and the ratio is the
median over the rounds of nequip's time divided by symnets' in the same round. Architecture of both:
lmax 2, 4 layers, 8 Bessel functions, cutoff 5 Å, radial MLP [64, 64], no parity, float32.
Needs the extra `bench`. The peer's environment: `pip install 'torch>=2.9,<2.14' nequip==0.19.1`.
"""

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import tyro
from systems import SYSTEMS, structures

from symnets.data import build_graphs, collate

HERE = Path(__file__).parent


@dataclass
class Benchmark:
    """Time and memory of force fields."""

    peer: str | None = None
    """Python of an environment with nequip; without it symnets is timed alone."""
    systems: tuple[str, ...] = tuple(SYSTEMS)
    channels: tuple[int, ...] = (32, 64)
    modes: tuple[str, ...] = ("evaluate", "train")
    threads: tuple[int, ...] = (1,)
    rounds: int = 3
    """Turns of each package."""
    seconds: float = 5.0
    """Time spent timing, a turn."""
    output: Path = HERE / "results" / "force_field.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time everything, print and save it as JSON after each row."""
        for system, channels, mode, threads in itertools.product(
            self.systems, self.channels, self.modes, self.threads
        ):
            self.rows.append(self.row(system, channels, mode, threads))
            print(json.dumps(self.rows[-1]), flush=True)
            document = {"question": __doc__, "machine": machine(), "systems": SYSTEMS, "rows": self.rows}
            self.output.parent.mkdir(exist_ok=True)
            self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, system: str, channels: int, mode: str, threads: int) -> dict:
        """One case, both packages in turn."""
        graph = collate(build_graphs(structures(system), 5.0)).inputs
        names = {"pos", "z", "cell", "edge_index", "edge_shift"}
        arrays = {name: graph[name].numpy() for name in names} | {"batch": graph.owner.numpy()}
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file, **arrays)
            file.flush()
            request = {"graph": file.name, "channels": channels, "mode": mode, "threads": threads}
            packages = {"symnets": sys.executable} | ({"nequip": self.peer} if self.peer else {})
            turns: dict[str, list[dict]] = {name: [] for name in packages}
            for _ in range(self.rounds):
                for name, python in packages.items():
                    turns[name].append(turn(python, name, request | {"seconds": self.seconds}))
        row: dict = {
            "system": system,
            "atoms": len(arrays["z"]),
            "edges": arrays["edge_index"].shape[1],
            "channels": channels,
            "mode": mode,
            "threads": threads,
        }
        for name, results in turns.items():
            row[name] = {
                "ms": round(statistics.median(r["ms"] for r in results), 2),
                "ms_all": [round(r["ms"], 2) for r in results],
                "peak_mb": round(max(r["peak_mb"] for r in results)),
                "parameters": results[0]["parameters"],
                "versions": results[0]["versions"],
            }
        if self.peer:
            pairs = zip(turns["nequip"], turns["symnets"], strict=True)
            row["nequip_over_symnets"] = round(statistics.median(n["ms"] / s["ms"] for n, s in pairs), 2)
        return row


def turn(python: str, package: str, request: dict) -> dict:
    """One process, alone."""
    environment = os.environ | {"OMP_NUM_THREADS": str(request["threads"])}
    worker = HERE / "workers" / f"{package}_worker.py"
    done = subprocess.run(
        [python, "-W", "ignore", str(worker), json.dumps(request)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{package}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict:
    """What the figures were measured on."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": models[0],
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
