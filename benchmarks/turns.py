"""Contestants in turn, each turn in a process of its own; for force_field.py, scaling.py and ops.py.

A contestant is written package[:variant][@threads]: `nequip`, `symnets:compiled@2`. Each package has a file
in `workers/`, which the Python of the package's environment runs; it prints one line of JSON."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from systems import structures

from symnets.data import build_graphs, collate

HERE = Path(__file__).parent
CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "WARP_CACHE_PATH")
TOLD = ("parameters", "versions", "energy", "compile_error", "build_s")


def pythons(peers: Sequence[str]) -> dict[str, str]:
    """Python of each package, from package=path."""
    return {"symnets": sys.executable} | dict(peer.split("=", 1) for peer in peers)


def turn(python: str, worker: str, request: dict, environment: Mapping[str, str] | None = None) -> dict:
    """What a worker prints."""
    threads = str(request["threads"])
    variables = os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "PYTHONPATH": str(HERE.parent),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",  # mace-torch with torch 2.6 or later
    }
    done = subprocess.run(
        [python, "-W", "ignore", str(HERE / "workers" / f"{worker}.py"), json.dumps(request)],
        env=variables | dict(environment or {}),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{worker}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def contest(
    pythons: Mapping[str, str],
    contestants: Sequence[str],
    request: dict,
    rounds: int,
    worker: str = "{package}_worker",
) -> dict:
    """Contestants in turn, `rounds` times; those without a Python are left out.

    The first turn of each starts with empty caches of compiled code, which its later ones find: what a
    first call takes is told for both.

    Returns: for each contestant medians, all times and the largest peak; one that fails has the last line
    of its error. `ratios` has for each "b / a", with a of symnets, the median over the rounds of b's time
    divided by a's in the same round."""
    present = [name for name in contestants if _parse(name)[0] in pythons]
    turns: dict[str, list[dict]] = {name: [] for name in present}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(rounds):
            for name in [n for n in present if n not in failed]:
                package, variant, threads = _parse(name)
                said = request | {"package": package, "variant": variant, "threads": threads}
                caches = {variable: f"{cache}/{name}/{variable}" for variable in CACHES}
                try:
                    turns[name].append(turn(pythons[package], worker.format(package=package), said, caches))
                except RuntimeError as error:
                    failed[name] = str(error).splitlines()[-1]
    result: dict = {name: summary(found) for name, found in turns.items() if name not in failed}
    ratios = {
        f"{b} / {a}": round(
            statistics.median(y["ms"] / x["ms"] for x, y in zip(turns[a], turns[b], strict=True)), 2
        )
        for a in result
        if _parse(a)[0] == "symnets"
        for b in result
        if b != a
    }
    failures = {name: {"failed": message} for name, message in failed.items()}
    return result | failures | {"ratios": ratios}


def _parse(contestant: str) -> tuple[str, str, int]:
    name, _, threads = contestant.partition("@")
    package, _, variant = name.partition(":")
    return package, variant, int(threads or 1)


def summary(turns: Sequence[dict]) -> dict:
    """One contestant's turns."""
    found = {
        "ms": round(statistics.median(t["ms"] for t in turns), 3),
        "ms_all": [round(t["ms"], 3) for t in turns],
        "first_call_s": round(turns[0]["first_call_s"], 2),
        "peak_mb": round(max(t["peak_mb"] for t in turns)),
        "growth_mb": round(max(t["growth_mb"] for t in turns)),
        "above_start_mb": round(max(t["above_start_mb"] for t in turns)),
    }
    if len(turns) > 1:
        found["first_call_cached_s"] = round(statistics.median(t["first_call_s"] for t in turns[1:]), 2)
    return found | {name: turns[0][name] for name in TOLD if name in turns[0]}


def graph_file(system: str, cutoff: float, path: str) -> dict:
    """Saves the graph of a system for the workers; returns its sizes."""
    graph = collate(build_graphs(structures(system), cutoff)).inputs
    names = ("pos", "z", "cell", "pbc", "edge_index", "edge_shift")
    np.savez(path, **{name: graph[name].numpy() for name in names}, batch=graph.owner.numpy())
    return {"system": system, "atoms": len(graph.z), "edges": graph.edge_index.shape[1]}
