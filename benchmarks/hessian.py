"""How long does an exact Hessian, split into H0 and Hp, take, compared with differentiating twice?

    OMP_NUM_THREADS=1 python benchmarks/hessian.py --peer PATH/TO/venv-with-curvlinops/bin/python

Quadratic hinge, ReLU, 3 hidden layers of 30, d = 10: N = 2,130; P = 1,500 random patterns, random weights.
`hessian_split` computes H0 and Hp; the other methods compute only H:

- rows: each row of H by a second backward pass through a kept graph;
- func: columns by torch.func, vmap(jvp of grad), 16 at once;
- curvlinops (in a separate environment): `HessianLinearOperator @ E` on a part of the columns, scaled.

The methods run alternately in one process (curvlinops in another). A ratio is the median over rounds of a
method's time divided by symnets' time in the same round. Memory: growth of the peak of a new process, in N²
words. Needs the extra `bench`. Environment of curvlinops: `pip install torch==2.13.0
curvlinops-for-pytorch==3.0.1`.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import psutil
import scipy
import torch
import tyro
from machine import machine
from new_process import worker
from torch import Tensor
from torch.func import grad, jvp, vmap
from workers.hessian_case import hinge, predict, problem

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables.curvature import h0_spectrum, hessian_split, inertia, spectrum
from symnets.training import QuadraticHinge

HERE = Path(__file__).parent


@dataclass
class Benchmark:
    """Time and memory of exact Hessians."""

    peer: str | None = None
    """Python of an environment with curvlinops."""
    width: int = 30
    patterns: int = 1500
    dtypes: tuple[str, ...] = ("float64", "float32")
    activations: tuple[str, ...] = ("relu", "tanh")
    rounds: int = 3
    chunk: int = 16
    output: Path = HERE / "results" / "hessian.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each."""
        load = [round(x, 1) for x in psutil.getloadavg()]
        for dtype in self.dtypes:
            for activation in self.activations:
                self.rows.append(self.case(dtype, activation))
                print(json.dumps(self.rows[-1]), flush=True)
                versions = {m.__name__: m.__version__ for m in (torch, scipy, numpy)}
                document = {
                    "question": __doc__,
                    "machine": machine() | {"threads": torch.get_num_threads(), "load_at_start": load},
                    "versions": versions,
                    "rows": self.rows,
                }
                self.output.parent.mkdir(exist_ok=True)
                self.output.write_text(json.dumps(document, indent=1) + "\n")

    def case(self, dtype: str, activation: str) -> dict:
        """Time all methods alternately for one dtype and activation."""
        request = {
            "width": self.width,
            "patterns": self.patterns,
            "dtype": dtype,
            "activation": activation,
            "seed": 0,
        }
        weights, x, y = problem(request)
        net, batch = dense_net(weights, activation), Batch(x, y)
        n = sum(w.numel() for w in weights)
        matrices: dict[str, Tensor] = {}

        def keep(name: str, function: Callable[[], Tensor]) -> float:
            start = time.perf_counter()
            matrices[name] = function()
            return time.perf_counter() - start

        split = hessian_split(net, QuadraticHinge(), batch)  # warm-up
        contestants: dict[str, Callable[[], Tensor]] = {
            "symnets": lambda: hessian_split(net, QuadraticHinge(), batch).h0,
            "rows": lambda: by_rows(weights, x, y, activation),
            "func": lambda: by_columns(weights, x, y, activation, self.chunk),
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(self.rounds):
            for name, function in contestants.items():
                times[name].append(keep(name, function))
        row: dict = {
            "activation": activation,
            "dtype": dtype,
            "n_params": n,
            "patterns": self.patterns,
            "unsatisfied": int((hinge(predict(weights, x, activation), y) > 0).sum()),
            "seconds": {name: [round(t, 4) for t in ts] for name, ts in times.items()},
            "peak_words_over_n2": round(peak(request), 2),
            "relative_difference": {
                name: float((matrices[name] - split.h).norm() / split.h.norm()) for name in ("rows", "func")
            },
        }
        for name in ("rows", "func"):
            ratios = [a / b for a, b in zip(times[name], times["symnets"], strict=True)]
            row[f"{name}_over_symnets"] = round(statistics.median(ratios), 1)
        if self.peer:
            row |= self.against_curvlinops(request, net, batch)
        if dtype == "float64":
            row["spectra"] = {
                "inertia of Hp, s": round(keep("i", lambda: inertia(split.hp).n_negative), 3),
                "eigenvalues of Hp, s": round(keep("e", lambda: spectrum(split.hp).eigenvalues), 3),
                "eigenvalues of H0 by the kernel, s": round(
                    keep("k", lambda: h0_spectrum(net, QuadraticHinge(), batch).eigenvalues), 3
                ),
                "negative fraction of Hp": round(float(matrices["i"]) / n, 3),
            }
        return row

    def against_curvlinops(self, request: dict, net: Dense, batch: Batch) -> dict:
        """Time of curvlinops for all columns, and its ratio to that of symnets."""
        ratios, seconds = [], []
        for _ in range(self.rounds):
            start = time.perf_counter()
            hessian_split(net, QuadraticHinge(), batch)
            ours = time.perf_counter() - start
            answer = worker(str(self.peer), "curvlinops_worker.py", request | {"columns": 32})
            seconds.append(round(answer["seconds"], 2))
            ratios.append(answer["seconds"] / ours)
        return {
            "curvlinops_seconds": seconds,
            "curvlinops_over_symnets": round(statistics.median(ratios), 1),
            "curvlinops_versions": answer["versions"],
        }


def dense_net(weights: list[Tensor], activation: str) -> Dense:
    """A `Dense` net with given weights."""
    h, d_in = weights[0].shape
    net = Dense(d_in, h, len(weights) - 1, activation=activation, dtype=weights[0].dtype)
    for p, w in zip(net.parameters(), weights, strict=True):
        p.data.copy_(w)
    return net


def by_rows(weights: list[Tensor], x: Tensor, y: Tensor, activation: str) -> Tensor:
    """H by a second backward pass for each row."""
    leaves = [w.clone().requires_grad_() for w in weights]
    loss = hinge(predict(leaves, x, activation), y).mean()
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    entries = torch.cat([g.reshape(-1) for g in first])
    hessian = loss.new_empty(len(entries), len(entries))
    for i, entry in enumerate(entries):
        row = torch.autograd.grad(entry, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
        hessian[i] = torch.cat([r.reshape(-1) for r in row])
    return hessian


def by_columns(weights: list[Tensor], x: Tensor, y: Tensor, activation: str, chunk: int) -> Tensor:
    """H by forward over reverse mode, several columns at once."""
    sizes = [w.numel() for w in weights]
    shapes = [w.shape for w in weights]

    def loss(flat: Tensor) -> Tensor:
        parts = [p.view(s) for p, s in zip(flat.split(sizes), shapes, strict=True)]
        return hinge(predict(parts, x, activation), y).mean()

    flat = torch.cat([w.reshape(-1) for w in weights])
    identity = torch.eye(len(flat), dtype=flat.dtype)
    return vmap(lambda v: jvp(grad(loss), (flat,), (v,))[1], chunk_size=chunk)(identity)


def peak(request: dict) -> float:
    """Growth of the peak memory of a new process during `hessian_split`, in N² words."""
    return worker(sys.executable, "hessian_memory.py", request)["words_over_n2"]


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
