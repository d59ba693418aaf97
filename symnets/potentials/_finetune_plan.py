"""Number of epochs that fit into a given time on this machine."""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from torch import nn

from symnets.config import OutOfRange
from symnets.data import AtomGraph, Loader
from symnets.files import expanded
from symnets.observables import predictions
from symnets.potentials._config import TrainConfig
from symnets.potentials._model import training_loss
from symnets.potentials._training import Prepared, start_training
from symnets.training import Processes, descend, joined_processes

_VALIDATIONS, _FEWEST_VALIDATIONS, _SHARE_OF_VALIDATIONS = 10, 2, 0.2
"""Largest and least number of validations, and the fraction of the time that they may take if there are more
than the least number."""
_SHARE = 0.9
"""Fraction of the time that is used; the rest is a margin for slower steps."""
_LEAST_STEPS, _LEAST_SECONDS = 5, 3.0
"""Timing ends after more than this number of steps, if all but the first took more than these seconds."""


def fit_epochs(config: TrainConfig, minutes: float, *, resume: bool = False) -> TrainConfig:
    """The configuration with as many epochs as fit into a time, and ten validations, each with a checkpoint.

    If ten validations would take more than a fifth of the time, there are fewer, but at least two.

    A few steps are timed with the data of the configuration. If other programs slow the machine down in the
    meantime, fewer epochs are chosen. The warm-up is shortened to a tenth of the steps at most. Processes
    that torchrun started take the steps together, and choose the same number of epochs.

    Args:
        config: configuration of a training or a fine-tuning.
        minutes: time for training and validations in minutes; it is `max_minutes` of the result, too.
        resume: whether `config.output` may contain a run, see `train`.

    Raises:
        FileExistsError: the folder contains a run and `resume` is false, or a process trains there.
        OutOfRange: the time is too short for one epoch.
    """
    whole = replace(
        config,
        output=str(expanded(config.output)),
        optimizer=replace(config.optimizer, epochs=1, warmup=0),
    )
    with joined_processes(config.device) as processes, ExitStack() as stack:
        _, start = start_training(whole, processes, stack, resume=resume)
        step = _seconds_of_step(whole, start, processes)
        evaluated = [start.validation, start.start.tests if start.start is not None else []]
        own = sum(_seconds_of_predictions(start.state.model, processes.part(some)) for some in evaluated)
        validation, _ = processes.agree(own, interrupted=False)
    seconds, batches = _SHARE * 60 * minutes, len(start.loader)
    n_validations = int(
        min(_VALIDATIONS, max(_FEWEST_VALIDATIONS, _SHARE_OF_VALIDATIONS * seconds / validation))
    )
    available = seconds - n_validations * validation
    if available < step * batches:
        least = (batches * step + n_validations * validation) / 60 / _SHARE
        raise OutOfRange(
            f"minutes: expected at least {least:.2g} for one pass, {batches} steps of {step:.2g} s, and "
            f"{n_validations} validations of {validation:.2g} s, got {minutes:g}; train on fewer structures, "
            "validate on fewer, or take longer"
        )
    epochs = int(available / step / batches)
    warmup = min(config.optimizer.warmup, epochs * batches // 10)
    validate_every = math.ceil(epochs * batches / n_validations)
    return replace(
        config,
        optimizer=replace(config.optimizer, epochs=epochs, warmup=warmup),
        max_minutes=minutes,
        validate_every=validate_every,
        checkpoint_every=min(config.checkpoint_every, validate_every),
    )


def _seconds_of_step(config: TrainConfig, start: Prepared, processes: Processes) -> float:
    """Mean duration of a step, without the first; the same in all processes."""
    durations, clock = [], time.perf_counter()
    loss = training_loss(config, start.stats, start.tensors)
    for _ in descend(start.state, loss, start.loader, processes=processes):
        elapsed, _ = processes.agree(time.perf_counter() - clock, interrupted=False)
        clock = time.perf_counter()
        durations.append(elapsed)
        if len(durations) > _LEAST_STEPS and sum(durations[1:]) > _LEAST_SECONDS:
            break
    return sum(durations[1:]) / len(durations[1:])


def _seconds_of_predictions(model: nn.Module, graphs: Sequence[AtomGraph]) -> float:
    """Duration of predictions for all graphs in seconds, estimated from a few of them."""
    few = [graphs[index] for index in range(min(8, len(graphs)))]
    if not few:
        return 0.0
    clock = time.perf_counter()
    predictions(model, Loader(few, len(few)))  # pyright: ignore[reportArgumentType]
    return (time.perf_counter() - clock) * len(graphs) / len(few)
