"""What are the limits of the machine, and how much work does the tensor product need at least?

    python benchmarks/roofline.py

On one and two threads: GFLOP/s of a matrix product of 2,048³ in float32 and float64, and of the shape of a
radial network's last layer (20,000 x 64 x 704); GB/s of a copy of 512 MB (read and written); ms of
gathering 20,000 rows of 576 numbers, and of summing 20,000 rows of 2,240 into 500. Each is the best of
several calls.

For the product of ops.py, the minimum of floating-point operations and bytes. Forward: for each edge, path
and channel, one multiplication and one addition for each nonzero Clebsch-Gordan coefficient, and the same for
each component of the message (weight, sum over edges). Gradient: three forms of this size, with respect to x,
Y and w. Bytes: every argument read once, every result written once."""

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from machine import machine

sys.path.append(str(Path(__file__).parent / "workers"))

import convolution
from timing import once

from symnets.ops import TensorProductScatter, all_paths

HERE = Path(__file__).parent


@dataclass
class Benchmark:
    """Limits of the machine."""

    threads: tuple[int, ...] = (1, 2)
    calls: int = 10
    output: Path = HERE / "results" / "roofline.json"

    def run(self) -> None:
        """Measure, print and save."""
        document = {
            "question": __doc__,
            "machine": machine(),
            "torch": torch.__version__,
            "limits": [self.limits(threads) for threads in self.threads],
            "product": product(),
        }
        print(json.dumps(document["limits"], indent=1), json.dumps(document["product"]))
        self.output.parent.mkdir(exist_ok=True)
        self.output.write_text(json.dumps(document, indent=1) + "\n")

    def limits(self, threads: int) -> dict:
        """Limits with a number of threads."""
        torch.set_num_threads(threads)
        rates: dict = {"threads": threads}
        for name, dtype, (m, k, n) in (
            ("gemm_float32_gflops", torch.float32, (2048, 2048, 2048)),
            ("gemm_float64_gflops", torch.float64, (2048, 2048, 2048)),
            ("skinny_gemm_float32_gflops", torch.float32, (20_000, 64, 704)),
        ):
            a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
            out = torch.empty(m, n, dtype=dtype)
            seconds = self.best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out))
            rates[name] = round(2e-9 * m * k * n / seconds, 1)
        source = torch.randn(2**27)
        target = torch.empty_like(source)
        rates["copy_gb_s"] = round(2e-9 * 4 * source.numel() / self.best(lambda: target.copy_(source)), 1)
        sender, receiver = convolution.edges()
        nodes, messages = torch.randn(500, 576), torch.randn(20_000, 2240)
        gathered, summed = torch.empty(20_000, 576), torch.zeros(500, 2240)
        gather = self.best(lambda: torch.index_select(nodes, 0, sender, out=gathered))
        add = self.best(lambda: summed.index_add_(0, receiver, messages))
        return rates | {"gather_ms": round(1000 * gather, 2), "index_add_ms": round(1000 * add, 2)}

    def best(self, function: Callable[[], object]) -> float:
        """Seconds of the fastest call."""
        function()
        return min(once(function) for _ in range(self.calls))


def product() -> dict:
    """Minimal work of the product, of its gradient, and of the radial network's matrix products."""
    slots, paths = all_paths(convolution.IRREPS, convolution.FILTERS, "+".join(convolution.WANTED))
    plan = TensorProductScatter(convolution.IRREPS, convolution.FILTERS, slots, paths).plan
    x, y, w, out = (leaf.numel() for leaf in convolution.leaves("given"))
    forward = convolution.EDGES * 2 * (plan.work + convolution.DIM_OUT)
    sizes = (convolution.BASIS, *convolution.HIDDEN, convolution.N_WEIGHTS)
    network = 2 * convolution.EDGES * sum(a * b for a, b in itertools.pairwise(sizes))
    return {
        "forward": {"gflop": forward / 1e9, "mb": 4e-6 * (x + y + w + out)},
        "backward": {"gflop": 4 * forward / 1e9, "mb": 4e-6 * (3 * (x + y + w) + 2 * out)},
        "network_forward": {"gflop": network / 1e9},
        "network_backward": {"gflop": 3 * network / 1e9},
        "message_mb": 4e-6 * convolution.EDGES * convolution.DIM_OUT,
    }


if __name__ == "__main__":
    tyro.cli(Benchmark).run()
