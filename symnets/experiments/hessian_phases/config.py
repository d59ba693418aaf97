"""Configurations of the experiment, and the grids that are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from symnets.experiments.decompression import DecompressedConfig
from symnets.experiments.nets import together
from symnets.models.size import count_weights

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "nets_at", "together"]

MAX_TOGETHER = 4


@dataclass(frozen=True)
class Config(DecompressedConfig):
    """A net of which the Hessian is taken at the end. P/N decides in which phase it is."""

    decompressed: bool = False
    """Whether it is led down to its jamming point first."""


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
    # The longest first: the last batches of a sweep should be short.
    "quick": (
        *nets_at((2.6,), width=14, depth=3, seeds=4, steps=6_000, steps_again=1_000, decompressed=True),
        *nets_at((2.6,), width=16, depth=2, seeds=8, steps=4_000, decompressed=True),
        *nets_at((5.0,), width=16, depth=2, seeds=4, steps=2_000),
        *nets_at((5.0,), width=14, depth=3, seeds=4, steps=2_000),
        *nets_at((1.0,), width=16, depth=2, seeds=4, steps=8_000),
        *nets_at((5.0,), width=16, depth=1, seeds=4, steps=3_000),
    ),
    "paper": (
        *nets_at((3.2,), width=30, depth=3, seeds=10, steps=500_000, steps_again=20_000, decompressed=True),
        *nets_at((3.2,), width=40, depth=2, seeds=10, steps=500_000, steps_again=20_000, decompressed=True),
        *nets_at((5.0, 1.0), width=30, depth=3, seeds=10, steps=500_000),
        *nets_at((5.0, 1.0), width=40, depth=2, seeds=10, steps=500_000),
        *nets_at((5.0,), width=40, depth=1, seeds=10, steps=500_000),
    ),
}
