"""Decision rules: labels ±1 as functions of Gaussian points, with thresholds that balance them exactly."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import chi2, norm
from torch import Generator, Tensor

from symnets.data._points import gaussian_cloud

RuleName = Literal["stripe", "interfaces", "xor", "cylinder", "sphere", "teacher"]
"""Names of decision rules, see `decision_rule`."""
STRIPE_LOW = -0.3
"""Lower threshold of the stripe of Paccolat et al. 2021 (arXiv:2007.11471)."""


@dataclass(frozen=True)
class DecisionRule:
    """Labels y = sign g(x) of points x ~ N(0, I_d), where g depends on a few directions of x only.

    Attributes:
        dim: d.
        relevant: orthonormal basis of the directions on which g depends, on the CPU; all d directions for a
            sphere.
        g: function of points (n, d), on any device, whose sign is the label.
    """

    dim: int
    relevant: Float[Tensor, "dim relevant"]
    g: Callable[[Tensor], Tensor]

    def labels(self, x: Float[Tensor, "points dim"]) -> Float[Tensor, "points"]:
        """+1 where g(x) > 0, -1 elsewhere."""
        return 2.0 * (self.g(x) > 0).to(x.dtype) - 1.0


def decision_rule(
    name: RuleName, dim: int, *, relevant_dim: int | None = None, n_interfaces: int = 3, seed: int = 0
) -> DecisionRule:
    """Decision rule by name, balanced: P(y = +1) = 1/2 for x ~ N(0, I_d).

    - **stripe**: +1 between the planes x_1 = -0.3 and x_1 = 1.18549..., which have probability 1/2 between
      them (arXiv:2007.11471).
    - **interfaces**: signs alternate across `n_interfaces` planes x_1 = const. All slabs of one sign have
      the same probability. An odd number of planes gives slabs of equal probability.
    - **xor**: the sign of x_1 x_2, or of the product of the first `relevant_dim` coordinates.
    - **cylinder**: +1 outside |x_∥|² = m, where x_∥ are the first `relevant_dim` coordinates, 2 by default,
      and m is the median of the χ² distribution.
    - **sphere**: the same with all coordinates.
    - **teacher**: the sign of f - m, where f is a random ReLU net of two hidden layers of 50 units, with
      biases, of the first `relevant_dim` coordinates, all by default. m is the median of f on 2^16 Gaussian
      points, so that P(y = +1) differs from 1/2 by about 0.002. Each seed has its own net.

    Thresholds are quantiles of the distribution of points, exact to rounding, except that of the teacher.

    Args:
        name: name of the rule.
        dim: d.
        relevant_dim: number of relevant coordinates of "xor", "cylinder" and "teacher".
        n_interfaces: number of planes of "interfaces".
        seed: seed of the teacher.

    Raises:
        ValueError: an unknown name, or numbers of dimensions or planes that do not fit.

    Example:
        >>> decision_rule("stripe", 3).labels(torch.tensor([[0.0, 5.0, 5.0], [2.0, 0.0, 0.0]]))
        tensor([ 1., -1.])
    """
    if name not in get_args(RuleName):
        raise ValueError(f"name: expected one of {', '.join(get_args(RuleName))}, got {name!r}")
    if n_interfaces < 1:
        raise ValueError(f"n_interfaces: expected at least 1, got {n_interfaces}")
    fixed = {"stripe": 1, "interfaces": 1, "sphere": dim}.get(name)
    if fixed is not None and relevant_dim not in (None, fixed):
        raise ValueError(f"relevant_dim: {name!r} has {fixed} relevant dimensions, got {relevant_dim}")
    d_par = fixed or relevant_dim or (dim if name == "teacher" else 2)
    if not 1 <= d_par <= dim:
        raise ValueError(f"relevant_dim: expected 1 to dim={dim} for {name!r}, got {d_par}")
    if name in ("stripe", "interfaces"):
        planes = stripe_planes() if name == "stripe" else interface_planes(n_interfaces)
        g = partial(_alternating, torch.tensor(planes, dtype=torch.float64))
    elif name == "xor":
        g = partial(_product, d_par)
    elif name == "teacher":
        g = _teacher(d_par, seed)
    else:
        g = partial(_outside, d_par, float(chi2.ppf(0.5, d_par)))
    return DecisionRule(dim, torch.eye(dim, dtype=torch.float64)[:, :d_par], g)


def stripe_planes() -> tuple[float, float]:
    """The thresholds of the stripe: -0.3, and the one for which the probability between both is 1/2."""
    return STRIPE_LOW, float(norm.ppf(0.5 + norm.cdf(STRIPE_LOW)))


def interface_planes(n: int) -> tuple[float, ...]:
    """Thresholds of n planes; the outermost slab on the left is -1, and each sign has probability 1/2."""
    counts = {-1: n // 2 + 1, 1: (n + 1) // 2}
    masses = [0.5 / counts[-1 if k % 2 == 0 else 1] for k in range(n)]
    return tuple(norm.ppf(np.cumsum(masses)).tolist())


def stream(*key: int) -> Generator:
    """Random generator seeded by a key of integers; generators of different keys are independent."""
    state = np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state >> np.uint64(1)))


def nested_gaussian(n: int, dim: int, generator: Generator) -> Float[Tensor, "{n} {dim}"]:
    """The first n of an endless list of Gaussian points."""
    # torch fills blocks of 16 numbers and treats an incomplete last block differently.
    return gaussian_cloud(-(-n // 16) * 16, dim, generator=generator)[:n]


def _alternating(planes: Tensor, x: Tensor) -> Tensor:
    """-1 on the left of all planes; the sign changes across each."""
    crossed = (x[:, :1].double() > planes.to(x.device)).sum(1)
    return 2.0 * (crossed % 2) - 1.0


def _product(d_par: int, x: Tensor) -> Tensor:
    return x[:, :d_par].prod(1)


def _outside(d_par: int, median: float, x: Tensor) -> Tensor:
    return x[:, :d_par].double().square().sum(1) - median


@lru_cache(maxsize=32)
def _teacher(d_par: int, seed: int, *, width: int = 50) -> Callable[[Tensor], Tensor]:
    """A random ReLU net of two hidden layers minus its median over Gaussian points."""
    generator = stream(seed, 1, 2)
    sizes = [d_par, width, width, 1]
    layers = [
        (gaussian_cloud(m, n, generator=generator) / math.sqrt(m), gaussian_cloud(1, n, generator=generator))
        for m, n in pairwise(sizes)
    ]

    def net(x: Tensor) -> Tensor:
        a = x[:, :d_par].double()
        for k, (weight, bias) in enumerate(layers):
            a = (a if k == 0 else a.relu() * math.sqrt(2)) @ weight.to(x.device) + bias.to(x.device)
        return a[:, 0]

    median = net(gaussian_cloud(2**16, d_par, generator=stream(seed, 1, 3))).median()
    return lambda x: net(x) - median
