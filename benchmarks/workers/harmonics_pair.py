"""Time spherical harmonics by symnets and e3nn in alternate calls in one process; run by ops.py."""

import json
import statistics
from collections.abc import Callable

import torch
from e3nn import o3
from request import request
from timing import once
from torch import Tensor

job = request()
degrees = list(range(job["lmax"] + 1))
vectors = torch.randn(job["vectors"], 3, generator=torch.Generator().manual_seed(0)).requires_grad_()


def symnets(v: Tensor) -> Tensor:
    """Spherical harmonics as in `symnets.nn.EdgeGeometry`: e3nn's, of vectors divided by their lengths."""
    distances = v.norm(dim=-1)
    return o3.spherical_harmonics(degrees, v / distances[:, None], normalize=False, normalization="component")


def e3nn(v: Tensor) -> Tensor:
    """Spherical harmonics by e3nn."""
    return o3.spherical_harmonics(degrees, v, normalize=True, normalization="component")


def step(function: Callable[[Tensor], Tensor], order: str) -> Callable[[], object]:
    """Function that makes one call: forward without gradients, or with the gradient of the sum."""

    def forward() -> Tensor:
        with torch.no_grad():
            return function(vectors)

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(function(vectors).sum(), vectors)

    return forward if order == "forward" else backward


mine, other = step(symnets, job["order"]), step(e3nn, job["order"])
for _ in range(3):
    mine()
    other()
times = [(once(mine), once(other)) for _ in range(job["pairs"])]
print(
    json.dumps(
        {
            "symnets_ms": 1000 * statistics.median(a for a, _ in times),
            "e3nn_ms": 1000 * statistics.median(b for _, b in times),
            "ratio": statistics.median(b / a for a, b in times),
            "pairs": len(times),
        }
    )
)
