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
    """A net above jamming that is decompressed; overlaps count down to 1e-6."""

    tolerance: float = 1e-6


def nets_at(
    ratio: float, *, width: int, depth: int, seeds: Sequence[int], **values: Any
) -> tuple[Config, ...]:
    """Nets of one shape with d = h and ratio N patterns."""
    n_train = round(ratio * count_weights(width, width, depth))
    return tuple(Config(n_train, width, depth, dim=width, seed=seed, **values) for seed in seeds)


PRESETS = {
    "quick": nets_at(2.6, width=16, depth=2, seeds=range(24), steps=4_000),
    "paper": nets_at(3.2, width=30, depth=3, seeds=range(20), steps=500_000, steps_again=20_000),
}
