"""Time a native function, and calls and steps of its model, alternately with torch; run by native.py."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.units
import numpy as np
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from request import request

from symnets.data import build_graphs, collate
from symnets.models import Compiled, ForceField, load
from symnets.native import BoundProgram
from symnets.simulate import SymnetsCalculator
from symnets.threads import set_threads

sys.path.append(str(Path(__file__).parents[1]))

from systems import native_inputs, structures

TIMESTEP, TEMPERATURE = 0.5, 10.0
"""Time step in fs, temperature in K."""

job = request()
frames = structures(job["system"])
graph = collate(build_graphs(frames, 5.0)).inputs


def calls(model: ForceField) -> Callable[[int], object]:
    """Function that calls a model n times."""
    return lambda n: [model(graph) for _ in range(n)]


def functions(model: Compiled) -> Callable[[int], object]:
    """Function that calls the native function of a model n times, on arrays; the model if there is none."""
    program = model.native
    if program is None:
        return calls(model)
    bound = BoundProgram(program, *native_inputs(model, graph))
    return lambda n: [bound(graph.edge_index.shape[1]) for _ in range(n)]


def steps(model: ForceField) -> Callable[[int], object]:
    """Function that makes n steps of velocity Verlet, which continue from the last call."""
    atoms = frames[0].copy()
    atoms.calc = SymnetsCalculator(model)
    generator = np.random.RandomState(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=generator)
    return VelocityVerlet(atoms, TIMESTEP * ase.units.fs).run


def in_turns(programs: dict[str, tuple[int, Callable[[int], object]]]) -> dict[str, list[float]]:
    """Milliseconds per call or step of each program in each round."""
    counts, times = {}, {name: [] for name in programs}
    for name, (threads, program) in programs.items():
        set_threads(threads)
        program(3)
        counts[name] = max(3, round(job["seconds"] / elapsed(program, 3)))
    for _ in range(job["rounds"]):
        for name, (threads, program) in programs.items():
            set_threads(threads)
            times[name].append(1000 * elapsed(program, counts[name]))
    return times


def elapsed(program: Callable[[int], object], n: int) -> float:
    """Seconds per call, averaged over n calls."""
    start = time.perf_counter()
    program(n)
    return (time.perf_counter() - start) / n


native, twin = load(job["file"], Compiled), load(job["file"], Compiled)
twin.use_native = False
result: dict = {"atoms": len(graph.z), "edges": graph.edge_index.shape[1], "why_not_native": None}
a, b = native(graph), twin(graph)
result["why_not_native"] = native.why_not_native
result["largest_force"] = float(b.forces.abs().max())
result["force_difference"] = float((a.forces - b.forces).abs().max())
kinds = {"function": functions, "call": calls} | ({"step": steps} if len(frames) == 1 else {})
for kind, make in kinds.items():
    programs = {"native": make(native), "torch": make(twin)}
    times = in_turns(
        {f"{name}@{n}": (n, program) for n in job["all_threads"] for name, program in programs.items()}
    )
    pairs = [(f"torch@{n}", f"native@{n}") for n in job["all_threads"]]
    pairs += [(f"{name}@1", f"{name}@2") for name in programs if {1, 2} <= set(job["all_threads"])]
    result[kind] = {name: round(statistics.median(values), 4) for name, values in times.items()}
    result[f"{kind}_ratios"] = {
        f"{slow} / {fast}": round(
            statistics.median(x / y for x, y in zip(times[slow], times[fast], strict=True)), 2
        )
        for slow, fast in pairs
    }
    result[f"{kind}_all"] = {name: [round(value, 4) for value in values] for name, values in times.items()}
print(json.dumps(result))
