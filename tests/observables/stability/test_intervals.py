"""Intervals cover known values: images of known covariance, a linear net, stretches as deformations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from symnets.observables import stability
from tests.observables.stability.nets import SHAPE, Stretch, generator

EPSILON, D_PIXELS = 0.1, math.prod(SHAPE)


def linear_net(spread: torch.Tensor) -> nn.Sequential:
    """Three outputs, of coordinates that vary more and less."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(D_PIXELS, 3, bias=False, dtype=torch.float64))
    nn.init.normal_(net[1].weight, generator=generator(3))
    net[1].weight.data *= spread
    return net


@pytest.mark.parametrize("average", ["mean", "median"])
def test_coverage(average: str) -> None:
    """x ~ N(0, Σ) independent, τx = x + ε s x. With means, exactly:

        D = ε² tr W Σ Wᵀ / (2 tr W Σ Wᵀ) = ε² / 2,   G = ε² tr Σ ‖W‖² / d / (2 tr W Σ Wᵀ).

    With medians, from one large sample.
    """
    spread = torch.linspace(0.2, 2, D_PIXELS, dtype=torch.float64)
    net = linear_net(spread)

    def sample(n: int, seed: int) -> torch.Tensor:
        x = torch.randn(n, D_PIXELS, generator=generator(seed), dtype=torch.float64) * spread
        return x.reshape(n, 1, *SHAPE)

    def measured(n: int, seed: int):
        return stability(
            net,
            sample(n, seed),
            Stretch(EPSILON),
            delta=1.0,
            n_draws=1,
            average=average,
            confidence=0.9,
            generator=generator(seed),
        )

    weight = net[1].weight.detach()
    noise = spread.square().sum() * weight.square().sum() / D_PIXELS
    g = 0.5 * EPSILON**2 * float(noise / (weight * spread).square().sum())
    truth = np.array([EPSILON**2 / 2, g, EPSILON**2 / 2 / g])
    if average == "median":
        many = measured(8_000, 10**6)
        truth = np.array([many.D.value[0], many.G.value[0], many.R.value[0]])
    runs = 300 if average == "mean" else 100
    covered = np.zeros(3)
    for seed in range(runs):
        found = measured(80, seed)
        for k, number in enumerate((found.D, found.G, found.R)):
            covered[k] += number.low[0] <= truth[k] <= number.high[0]
    # 90% up to three standard errors of the count, and up to 4% because 80 images are few.
    assert covered / runs == pytest.approx(0.9, abs=0.04 + 3 * math.sqrt(0.09 / runs))


def test_intervals_shrink_as_the_root_of_images() -> None:
    net = linear_net(torch.ones(D_PIXELS, dtype=torch.float64))
    x = torch.randn(1600, 1, *SHAPE, generator=generator(), dtype=torch.float64)
    few, many = (
        stability(net, x[:n], Stretch(EPSILON), delta=1.0, generator=generator()) for n in (100, 1600)
    )
    for one, other in [(few.D, many.D), (few.G, many.G), (few.R, many.R)]:
        ratio = np.log(one.high / one.low) / np.log(other.high / other.low)
        assert ratio == pytest.approx(4, rel=0.35)  # widths of 100 images scatter by a tenth and more
