"""Configurations of the experiment, and the grids that are run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from symnets.experiments.nets import NetConfig, together
from symnets.experiments.ranges import at_least, between, check_ranges
from symnets.models.size import count_weights

__all__ = ["MAX_TOGETHER", "PRESETS", "Config", "nets_at", "together"]

MAX_TOGETHER = 8


@dataclass(frozen=True)
class Config(NetConfig):
    """A net above jamming that is decompressed."""

    tolerance: float = 1e-6
    removed: float = 0.02
    """Patterns taken away at first, as a share of P; then half the way to jamming at a time."""
    fine: float = 0.004
    """Largest step that may lead from the last minimum to the verge, as a share of P."""
    verge: float = 1e-5
    """Loss at which a net that falls is looked at: at the verge of being satisfied."""
    steps_again: int = 600
    """Budget of steps after patterns were taken away."""
    reheat: float = 10.0
    """Factor from the last learning rate to that with which a net starts again."""
    dtype: Literal["float32", "float64"] = "float64"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            "",
            self,
            removed=between(0, 0.5),
            fine=between(0, 0.5),
            verge=between(0, 1),
            steps_again=at_least(1),
            reheat=at_least(1),
        )


def nets_at(
    ratio: float, *, width: int, depth: int, seeds: Sequence[int], **values: Any
) -> tuple[Config, ...]:
    """Nets of one shape with d = h and ratio N patterns."""
    n_train = round(ratio * count_weights(width, width, depth))
    return tuple(Config(n_train, width, depth, dim=width, seed=seed, **values) for seed in seeds)


PRESETS = {
    "quick": nets_at(2.6, width=16, depth=2, seeds=range(24), steps=6_000),
    "paper": nets_at(3.2, width=30, depth=3, seeds=range(20), steps=500_000, steps_again=20_000),
}
