"""How long does a training step of many small nets take in one call, compared with one net at a time?

    python benchmarks/ensemble.py

Full-batch steps of Adam on the quadratic hinge, ReLU, 3 hidden layers, d = 10, no biases:

- symnets: `descend_members` on `Dense` with members, one torch.optim.Adam(fused=True), a check of the members
  every 20 steps, as in the experiments;
- loop: nn.Sequential of nn.Linear and nn.ReLU, each net with its own torch.optim.Adam, one after the other;
- loop_fused: the same with fused=True;
- vmap: the same nets stacked (`torch.func.stack_module_state`, vmap, grad), one Adam for all.

The methods run alternately in one process, for each number of threads. A ratio is the median over rounds of a
method's time divided by symnets' time in the same round. Run it alone on the machine. Needs the extra
`bench`.
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro
from machine import machine
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from symnets.data import Batch
from symnets.models import Dense
from symnets.training import QuadraticHinge, TrainState, descend_members

HERE = Path(__file__).parent
CASES = ((20, 10, 500), (20, 20, 1000), (20, 60, 2000), (100, 15, 500))  # members, width, patterns
STRIDE = 20


@dataclass
class Benchmark:
    """Time of a training step of an ensemble."""

    threads: tuple[int, ...] = (1, 2)
    dtypes: tuple[str, ...] = ("float32", "float64")
    rounds: int = 15
    seconds: float = 0.3
    """Time for each method in a round."""
    output: Path = HERE / "results" / "ensemble.json"
    rows: list[dict] = field(default_factory=list, init=False)

    def run(self) -> None:
        """Time all cases; print and save after each."""
        for dtype in self.dtypes:
            for members, width, patterns in CASES:
                for threads in self.threads:
                    torch.set_num_threads(threads)
                    self.rows.append(self.case(members, width, patterns, getattr(torch, dtype)))
                    print(json.dumps(self.rows[-1]), flush=True)
                    document = {
                        "question": __doc__,
                        "machine": machine(),
                        "versions": {"torch": torch.__version__},
                        "rounds": self.rounds,
                        "rows": self.rows,
                    }
                    self.output.parent.mkdir(exist_ok=True)
                    self.output.write_text(json.dumps(document, indent=1) + "\n")

    def case(self, members: int, width: int, patterns: int, dtype: torch.dtype) -> dict:
        """Time all methods alternately for one size."""
        torch.manual_seed(0)
        x = torch.randn(patterns, 10, dtype=dtype)
        y = torch.randn(patterns, dtype=dtype).sign()
        steps = {
            "symnets": dense(members, width, x, y),
            "loop": loop(members, width, x, y, fused=None),
            "loop_fused": loop(members, width, x, y, fused=True),
            "vmap": stacked(members, width, x, y),
        }
        counts = {name: max(2, round(self.seconds / once(step))) for name, step in steps.items()}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(self.rounds):
            for name, step in steps.items():
                times[name].append(average(step, counts[name]) / (STRIDE if name == "symnets" else 1))
        ratio = {
            f"{name}_over_symnets": round(
                statistics.median(a / b for a, b in zip(times[name], times["symnets"], strict=True)), 2
            )
            for name in steps
            if name != "symnets"
        }
        flops = 6 * members * patterns * (10 * width + 2 * width**2 + width)
        median = {name: statistics.median(values) for name, values in times.items()}
        return {
            "members": members,
            "width": width,
            "patterns": patterns,
            "dtype": str(dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "ms": {name: round(1000 * value, 3) for name, value in median.items()},
            **ratio,
            "gflops_symnets": round(flops / median["symnets"] / 1e9, 1),
        }


def once(step: Callable[[], None]) -> float:
    """Seconds of a step, after two warm-up steps."""
    step()
    step()
    return max(average(step, 3), 1e-5)


def average(step: Callable[[], None], n: int) -> float:
    """Mean seconds of n steps."""
    start = time.perf_counter()
    for _ in range(n):
        step()
    return (time.perf_counter() - start) / n


def hinge(f: Tensor, y: Tensor) -> Tensor:
    """Quadratic hinge loss ½ max(0, 1 - y f)²."""
    return 0.5 * (1 - y * f).relu() ** 2


def dense(members: int, width: int, x: Tensor, y: Tensor) -> Callable[[], None]:
    """One `Dense` and one Adam; with random labels and few steps no member converges."""
    net = Dense(10, width, 3, members=members, dtype=x.dtype)
    state = TrainState(net, torch.optim.Adam(net.parameters(), lr=1e-6, fused=True))
    dynamics = descend_members(state, QuadraticHinge(), Batch(x, y), budget=10**9, stride=STRIDE)
    next(dynamics)  # the state at step 0

    def steps() -> None:
        next(dynamics)

    return steps


def sequential(width: int, dtype: torch.dtype) -> nn.Sequential:
    """A net of torch layers."""
    sizes = [10, width, width, width]
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 1, bias=False)).to(dtype)


def loop(members: int, width: int, x: Tensor, y: Tensor, *, fused: bool | None) -> Callable[[], None]:
    """Nets trained one after the other, each with its own Adam."""
    nets = [sequential(width, x.dtype) for _ in range(members)]
    optimizers = [torch.optim.Adam(net.parameters(), fused=fused) for net in nets]

    def step() -> None:
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            hinge(net(x)[:, 0], y).mean().backward()
            optimizer.step()

    return step


def stacked(members: int, width: int, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Nets stacked by torch.func, with one Adam."""
    nets = [sequential(width, x.dtype) for _ in range(members)]
    parameters, _ = stack_module_state(list(nets))
    optimizer = torch.optim.Adam(list(parameters.values()))

    def value(p: dict[str, Tensor]) -> Tensor:
        return hinge(functional_call(nets[0], p, (x,))[:, 0], y).mean()

    gradient = vmap(grad(value))

    def step() -> None:
        for name, g in gradient(parameters).items():
            parameters[name].grad = g
        optimizer.step()

    return step


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
