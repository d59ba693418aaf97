"""Alternate runs of several programs in new processes; used by force_field.py, scaling.py and ops.py.

A program is written package[:variant][@threads]: `nequip`, `symnets:compiled@2`. Each package has a script in
`workers/`, which runs in the package's environment and prints one line of JSON."""

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
COPIED = ("parameters", "versions", "energy", "compile_error", "build_s")


def pythons(peers: Sequence[str]) -> dict[str, str]:
    """Interpreter of each package, from arguments package=path."""
    return {"symnets": sys.executable} | dict(peer.split("=", 1) for peer in peers)


def turn(python: str, worker: str, request: dict, environment: Mapping[str, str] | None = None) -> dict:
    """Run a worker in a new process and return its result."""
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
    """Run programs alternately, `rounds` times; programs without an interpreter are skipped.

    The first run of each starts with empty caches of compiled code, which its later runs reuse: the time of
    the first call is measured for both.

    Returns:
        For each program: medians, all times and the largest peak, or the last line of its error. For each
        pair "b / a" where a is a program of symnets, `ratios` has the median over rounds of b's time divided
        by a's time in the same round.
    """
    present = [name for name in contestants if _parse(name)[0] in pythons]
    turns: dict[str, list[dict]] = {name: [] for name in present}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(rounds):
            for name in [n for n in present if n not in failed]:
                package, variant, threads = _parse(name)
                run_request = request | {"package": package, "variant": variant, "threads": threads}
                caches = {variable: f"{cache}/{name}/{variable}" for variable in CACHES}
                try:
                    turns[name].append(
                        turn(pythons[package], worker.format(package=package), run_request, caches)
                    )
                except RuntimeError as error:
                    failed[name] = str(error).splitlines()[-1]
    result: dict = {name: summary(runs) for name, runs in turns.items() if name not in failed}
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
    """Medians and maxima over the runs of a program."""
    result = {
        "ms": round(statistics.median(t["ms"] for t in turns), 3),
        "ms_all": [round(t["ms"], 3) for t in turns],
        "first_call_s": round(turns[0]["first_call_s"], 2),
        "peak_mb": round(max(t["peak_mb"] for t in turns)),
        "growth_mb": round(max(t["growth_mb"] for t in turns)),
        "above_start_mb": round(max(t["above_start_mb"] for t in turns)),
    }
    if len(turns) > 1:
        result["first_call_cached_s"] = round(statistics.median(t["first_call_s"] for t in turns[1:]), 2)
    return result | {name: turns[0][name] for name in COPIED if name in turns[0]}


def graph_file(system: str, cutoff: float, path: str) -> dict:
    """Save the graph of a system for the workers; return its sizes."""
    graph = collate(build_graphs(structures(system), cutoff)).inputs
    names = ("pos", "z", "cell", "pbc", "edge_index", "edge_shift")
    np.savez(path, **{name: graph[name].numpy() for name in names}, batch=graph.owner.numpy())
    return {"system": system, "atoms": len(graph.z), "edges": graph.edge_index.shape[1]}
