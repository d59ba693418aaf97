"""What does the time of inference and of a training step consist of?

    python benchmarks/where_time_goes.py

NequIP of 64 channels, 4 layers, lmax 2 as in force_field.py: energy and forces of 512 atoms of copper, as
trained and compiled; a training step on 16 molecules of 21 atoms. Self time of each operation measured by
torch.profiler, one thread:

- products: symnets' compiled products and their derivatives, including their Python code;
- matrix products: aten::mm, addmm, bmm;
- other tensor operations: all other operations of torch;
- Python and dispatch: the rest of the time.

The profiler slows small operations: `ms` is the time without it, `profiled_ms` with it. Needs the extra
`bench`."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from machine import machine
from systems import structures
from torch.profiler import ProfilerActivity, profile

from symnets.data import build_graphs, collate
from symnets.models import ForceField, NequIP
from symnets.simulate import compile

sys.path.append(str(Path(__file__).parent / "workers"))

from timing import once

HERE = Path(__file__).parent
MATRIX = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
PRODUCTS = ("Product", "_Product", "Partials", "LinearProduct", "LinearPartials")  # of symnets.ops


@dataclass
class Benchmark:
    """Profiles of inference and training."""

    cases: tuple[str, ...] = ("inference", "compiled", "train")
    calls: int = 5
    output: Path = HERE / "results" / "where_time_goes.json"

    def run(self) -> None:
        """Profile all cases; print and save."""
        torch.set_num_threads(1)
        rows = []
        for case in self.cases:
            rows.append({"case": case} | self.row(workload(case)))
            print(json.dumps(rows[-1]), flush=True)
        document = {"question": __doc__, "machine": machine(), "torch": torch.__version__, "rows": rows}
        self.output.parent.mkdir(exist_ok=True)
        self.output.write_text(json.dumps(document, indent=1) + "\n")

    def row(self, step: Callable[[], object]) -> dict:
        """Milliseconds of a call by category, and of the longest operations."""
        for _ in range(3):
            step()
        plain = statistics.median(once(step) for _ in range(self.calls))
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            start = time.perf_counter()
            for _ in range(self.calls):
                step()
            profiled = (time.perf_counter() - start) / self.calls
        own = {event.key: event.self_cpu_time_total / 1000 / self.calls for event in profiler.key_averages()}
        parts = dict.fromkeys(("products", "matrix products", "other tensor operations"), 0.0)
        for name, ms in own.items():
            parts[category(name)] += ms
        parts["Python and dispatch"] = max(0.0, 1000 * profiled - sum(own.values()))
        top = sorted(own.items(), key=lambda item: -item[1])[:20]
        return {
            "ms": round(1000 * plain, 2),
            "profiled_ms": round(1000 * profiled, 2),
            "parts_ms": {name: round(ms, 2) for name, ms in parts.items()},
            "operations_ms": {name: round(ms, 2) for name, ms in top},
        }


def category(name: str) -> str:
    """Category of an operation, given by the profiler's name."""
    if name in MATRIX:
        return "matrix products"
    function = name.removeprefix("autograd::engine::evaluate_function: ").removesuffix("Backward")
    return "products" if function in PRODUCTS else "other tensor operations"


def workload(case: str) -> Callable[[], object]:
    """Function to profile."""
    torch.manual_seed(0)
    frames = structures("molecules16x21" if case == "train" else "cu512")
    graph = collate(build_graphs(frames, 5.0)).inputs
    options = {"channels": 64, "lmax": 2, "layers": 4, "parity": False}
    mean_neighbors = graph.edge_index.shape[1] / len(graph.z)
    model = ForceField(NequIP(sorted(set(graph.z.tolist())), **options, mean_neighbors=mean_neighbors))
    if case == "train":
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

        def step() -> None:
            optimizer.zero_grad()
            out = model.train()(graph)
            (out.energy.square().mean() + out.forces.square().mean()).backward()
            optimizer.step()

        return step
    if case == "compiled":
        model = compile(model)
    return lambda: model.eval()(graph)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
