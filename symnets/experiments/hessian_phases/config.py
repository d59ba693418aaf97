"""Configurations of the experiment, and the grids that are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from symnets.experiments.nets import NetConfig, together
from symnets.models.size import count_weights

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "nets_at", "together"]

MAX_TOGETHER = 8


@dataclass(frozen=True)
class Config(NetConfig):
    """A net of which the Hessian is taken at the end. P/N decides in which phase it is.

    In float64 throughout, and gaps matter down to 1e-5: near jamming all overlaps are small.
    """

    tolerance: float = 1e-5
    dtype: Literal["float32", "float64"] = "float64"


def nets_at(
    ratios: Sequence[float], *, width: int, depth: int, seeds: int, **values: Any
) -> tuple[Config, ...]:
    """Nets of one shape with d = h, and P = ratio N patterns for each ratio.

    Without biases if there is one hidden layer: so the exact law N_- = h is stated.
    """
    n_weights = count_weights(width, width, depth)
    return tuple(
        Config(round(ratio * n_weights), width, depth, dim=width, bias=depth > 1, seed=seed, **values)
        for ratio in ratios
        for seed in range(seeds)
    )


PRESETS = {
    # The largest first: the last batches of a sweep should be short.
    "quick": (
        *nets_at((5.0,), width=16, depth=2, seeds=4, steps=6_000),
        *nets_at((3.0, 2.8, 2.6, 2.4, 2.2), width=16, depth=2, seeds=6, steps=6_000),
        *nets_at((5.0, 2.2, 1.8), width=12, depth=3, seeds=4, steps=6_000),
        *nets_at((1.0,), width=16, depth=2, seeds=4, steps=6_000),
        *nets_at((5.0,), width=16, depth=1, seeds=4, steps=3_000),
    ),
    "paper": (
        *nets_at((5.0, 3.4, 3.2, 3.0, 2.8, 2.6, 1.0), width=30, depth=3, seeds=10, steps=500_000),
        *nets_at((5.0, 3.2, 3.0, 2.8, 2.6, 2.4, 1.0), width=40, depth=2, seeds=10, steps=500_000),
        *nets_at((5.0, 1.0), width=40, depth=1, seeds=10, steps=500_000),
    ),
}
