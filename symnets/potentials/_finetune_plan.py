"""How many epochs of a training fit into a given time on this machine."""

import math
import time
from dataclasses import replace

from symnets.config import OutOfRange
from symnets.data import Loader
from symnets.files import locked
from symnets.observables import predictions
from symnets.potentials._config import TrainConfig
from symnets.potentials._finetune import load_foundation
from symnets.potentials._loss import training_loss
from symnets.potentials._training import prepare
from symnets.training import Processes, descend

_VALIDATIONS = 10
"""Number of validations in the training."""
_SHARE = 0.9
"""Fraction of the time that is used; the rest is a margin for slower steps."""
_LEAST_STEPS, _LEAST_SECONDS = 5, 3.0
"""Timing ends after more than this number of steps, if all but the first took longer than this in total."""


def fit_epochs(config: TrainConfig, minutes: float) -> TrainConfig:
    """The configuration with as many epochs as fit into a time, and ten validations.

    A few steps are timed with the data of the configuration. If other programs slow the machine down in the
    meantime, fewer epochs are chosen. The warm-up is shortened to a tenth of the steps at most.

    Args:
        config: of a training or a fine-tuning.
        minutes: time for training and validations; the returned configuration has it as `max_minutes`, too.

    Raises:
        OutOfRange: the time is too short for one epoch.
    """
    with locked(config.output):
        foundation, whole = None, replace(config, optimizer=replace(config.optimizer, epochs=1, warmup=0))
        if config.finetune is not None:
            foundation, whole = load_foundation(whole)
        start = prepare(whole, foundation, Processes(), resume=False)
    durations, clock = [], time.perf_counter()
    loss = training_loss(whole, start.stats, start.tensors)
    for _ in descend(start.state, loss, start.loader):
        now = time.perf_counter()
        durations.append(now - clock)
        clock = now
        if len(durations) > _LEAST_STEPS and sum(durations[1:]) > _LEAST_SECONDS:
            break
    step = sum(durations[1:]) / len(durations[1:])
    few = [start.validation[index] for index in range(min(8, len(start.validation)))]
    clock = time.perf_counter()
    predictions(start.state.model, Loader(few, len(few)))
    validation = (time.perf_counter() - clock) * len(start.validation) / len(few)
    available = _SHARE * 60 * minutes - _VALIDATIONS * validation
    steps, batches = available / step, len(start.loader)
    if steps < batches:
        least = (batches * step + _VALIDATIONS * validation) / 60 / _SHARE
        raise OutOfRange(
            f"minutes: expected at least {least:.2g} for one pass, {batches} steps of "
            f"{step:.2g} s, got {minutes:g}; train on fewer structures, or take longer"
        )
    epochs = int(steps / batches)
    warmup = min(config.optimizer.warmup, epochs * batches // 10)
    return replace(
        config,
        optimizer=replace(config.optimizer, epochs=epochs, warmup=warmup),
        max_minutes=minutes,
        validate_every=math.ceil(epochs * batches / _VALIDATIONS),
    )
