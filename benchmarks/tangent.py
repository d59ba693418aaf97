"""How long does a tangent kernel take, compared with gradients by torch.func and with neural-tangents?

    OMP_NUM_THREADS=1 python benchmarks/tangent.py --cases small wide --jax PATH/TO/venv-with-jax/bin/python
    OMP_NUM_THREADS=2 python benchmarks/tangent.py --cases large
    OMP_NUM_THREADS=1 python benchmarks/tangent.py --cases cnn --nngeometry PATH/TO/venv/bin/python

Cases, of ReLU nets with three hidden layers and d = 10, unless stated otherwise:

- small: 500 x 500 points, width 200, float32 and float64;
- wide: 500 x 500 points, width 2,000, float32 and float64, with the growth of memory;
- large: 10,000 x 10,000 points, width 1,000, float32, with the growth of memory;
- cnn: a net of three convolutions and a linear layer, below 100,000 weights, on 2,000 images of 28 x 28.

Peers: `torch.func`, gradients of single points by vmap(grad), contracted (for the wide net, 20 points are
timed and the time per point is scaled, because the gradients of 500 take 16 GB); neural-tangents' structured
derivatives, jitted, with vmap_axes=0 (after compilation, which is reported separately); nngeometry's
`GramMatrix` in its own process.

The methods run alternately in one process. A peer of another environment has its own process, which stays
open and waits while the others run. A ratio is the median over rounds of a method's time divided by symnets'
time in the same round. Memory: growth of the peak of a new process. Needs the extra `bench`. Environments:
`pip install jax==0.4.20 jaxlib==0.4.20 "numpy<2" "scipy<1.13" neural-tangents==0.6.5`;
`pip install torch==2.13.0 nngeometry`.
"""

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy
import psutil
import torch
import tyro
from machine import machine
from new_process import Peer, worker
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from workers.tangent_case import dense_case, image_case
from workers.timing import once

from symnets.observables import tangent_kernel

HERE = Path(__file__).parent
Case = Literal["small", "wide", "large", "cnn"]


@dataclass
class Benchmark:
    """Time and memory of tangent kernels."""

    cases: tuple[Case, ...] = ("small", "wide", "large", "cnn")
    jax: str | None = None
    """Python of an environment with neural-tangents."""
    nngeometry: str | None = None
    """Python of an environment with nngeometry."""
    rounds: int = 7
    points: int | None = None
    """Number of points in place of that of the case, to try the script."""
    output: Path = HERE / "results" / "tangent.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each."""
        load = [round(x, 1) for x in psutil.getloadavg()]
        kept = json.loads(self.output.read_text())["rows"] if self.output.exists() else []
        for case in self.cases:
            for dtype in ("float32", "float64") if case in ("small", "wide") else ("float32",):
                row = self.image_case() if case == "cnn" else self.dense_case(case, dtype)
                where = machine() | {"threads": torch.get_num_threads(), "load_at_start": load}
                versions = {m.__name__: m.__version__ for m in (torch, numpy)}
                row = {"case": case, "dtype": dtype} | row | {"machine": where, "versions": versions}
                print(json.dumps(row), flush=True)
                kept = [old for old in kept if (old["case"], old["dtype"]) != (case, dtype)] + [row]
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps({"question": __doc__, "rows": kept}, indent=1) + "\n")

    def dense_case(self, case: Case, dtype: str) -> dict:
        """Times of a dense net in one precision."""
        n, width = {"small": (500, 200), "wide": (500, 2000), "large": (10_000, 1000)}[case]
        request = {"points": self.points or n, "width": width, "dtype": dtype}
        request["threads"] = torch.get_num_threads()
        net, x = dense_case(request)
        row: dict = {
            "points": len(x),
            "width": width,
            "growth_mb": round(worker(sys.executable, "tangent_memory.py", request)["growth_mb"]),
        }
        if case == "large":
            times = [once(lambda: tangent_kernel(net, x)) for _ in range(min(3, self.rounds))]
            return row | {"seconds": [round(t, 3) for t in times]}
        few = len(x) if case == "small" else 20
        contestants: dict[str, Callable[[], float]] = {
            "symnets": lambda: once(lambda: tangent_kernel(net, x)),
            "torch.func": lambda: once(lambda: contraction(net, x[:few])) * len(x) / few,
        }
        peer = None
        if self.jax:
            peer = Peer(self.jax, "tangent_jax.py", request)
            contestants["neural-tangents"] = peer.turn
            row["neural-tangents"] = peer.first
        expected = contraction(net, x[:few])
        found = tangent_kernel(net, x)[:few, :few]
        row["relative_difference"] = float((found - expected).norm() / expected.norm())
        row |= self.alternate(contestants)
        if peer is not None:
            peer.close()
        return row

    def image_case(self) -> dict:
        """Times of a convolutional net."""
        n = self.points or 2000
        request = {"points": n, "threads": torch.get_num_threads(), "dtype": "float32"}
        net, x = image_case(request)
        contestants: dict[str, Callable[[], float]] = {
            "symnets": lambda: once(lambda: tangent_kernel(net, x)),
            "torch.func": lambda: once(lambda: contraction(net, x)),
        }
        peer = None
        row: dict = {"points": n, "n_params": sum(p.numel() for p in net.parameters())}
        if self.nngeometry:
            peer = Peer(self.nngeometry, "tangent_nngeometry.py", request)
            contestants["nngeometry"] = peer.turn
            row["nngeometry"] = peer.first
        few = min(20, n)
        expected, found = contraction(net, x[:few]), tangent_kernel(net, x[:few])
        row["relative_difference"] = float((found - expected).norm() / expected.norm())
        row |= self.alternate(contestants, warm=False)
        if peer is not None:
            peer.close()
        each = {name: statistics.median(times) / n**2 for name, times in row["seconds"].items()}
        return row | {"seconds_per_entry": {name: float(f"{t:.3g}") for name, t in each.items()}}

    def alternate(self, contestants: dict[str, Callable[[], float]], *, warm: bool = True) -> dict:
        """Seconds of each method in each round, and medians of ratios to symnets."""
        if warm:
            for turn in contestants.values():
                turn()
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(self.rounds if warm else min(3, self.rounds)):
            for name, turn in contestants.items():
                times[name].append(turn())
        row: dict = {"seconds": {name: [round(t, 5) for t in ts] for name, ts in times.items()}}
        for name in list(contestants)[1:]:
            ratios = [a / b for a, b in zip(times[name], times["symnets"], strict=True)]
            row[f"{name}_over_symnets"] = round(statistics.median(ratios), 2)
        return row


def contraction(net: nn.Module, x: Tensor) -> Tensor:
    """Tangent kernel by torch.func: gradients of single points in chunks of 2 GB, contracted by layer."""
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    size = sum(p.numel() for p in parameters.values()) * x.element_size()

    def single(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return functional_call(net, parameters, (point[None],)).squeeze()

    gradients = vmap(grad(single), (None, 0), chunk_size=max(1, 2**31 // (10 * size)))(parameters, x)
    return torch.stack([g.flatten(1) @ g.flatten(1).T for g in gradients.values()]).sum(0)


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
