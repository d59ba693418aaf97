"""Schedules: the learning rate during training, and the steps at which to record."""

import math
from collections.abc import Callable
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Decay = Literal["constant", "linear", "cosine", "exponential"]


def learning_rate(
    optimizer: Optimizer, total: int, *, decay: Decay = "cosine", warmup: int = 0, final: float = 0.01
) -> LambdaLR:
    """Learning-rate schedule: linear warm-up over `warmup` steps, then a decay to `final` at step `total`.

    The learning rate of the optimiser is multiplied, with x = (step - warmup) / (total - warmup), by

        constant 1,   linear 1 - (1 - final) x,   exponential final^x,
        cosine final + (1 - final) (1 + cos πx) / 2.

    Args:
        optimizer: optimiser whose learning rate is set.
        total: number of steps of the training.
        decay: shape of the decay.
        warmup: number of steps of the warm-up.
        final: factor at step `total`, positive; not used by the constant one.

    Raises:
        ValueError: the warm-up is as long as the training, or longer.
    """
    if not 0 <= warmup < max(total, 1):
        raise ValueError(f"warmup: expected 0 <= warmup < {total} steps, got {warmup}")
    shapes: dict[str, Callable[[float], float]] = {
        "constant": lambda x: 1.0,
        "linear": lambda x: 1 - (1 - final) * x,
        "exponential": lambda x: final**x,
        "cosine": lambda x: final + (1 - final) * (1 + math.cos(math.pi * x)) / 2,
    }

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return shapes[decay](min((step - warmup) / max(total - warmup, 1), 1.0))

    return LambdaLR(optimizer, factor)


Record = Callable[[int], bool]
"""Rule that decides, from the number of steps so far, whether to record now."""


def every(steps: int) -> Record:
    """Record every `steps` steps."""
    return lambda step: step % steps == 0


def log_spaced(per_decade: int) -> Record:
    """Record at `per_decade` steps per decade, evenly spaced in log(step)."""
    return lambda step: (
        math.floor(per_decade * math.log10(step))
        > math.floor(per_decade * math.log10(step - 1) if step > 1 else -1)
    )
