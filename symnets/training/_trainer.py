"""Trainer: the one loop and the one clock."""

import dataclasses
import math
import numbers
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from symnets.interrupt import interruptible
from symnets.training._callbacks import Callback
from symnets.training._schedule import Record, every
from symnets.training._state import History, TrainState
from symnets.training._stopping import StopRule

Observable = Callable[[TrainState], Any]
"""Measures a state: a number, a mapping of numbers, or a dataclass of them."""

INTERRUPTED = "interrupted"


@dataclass
class Trainer:
    """Run dynamics until a rule says stop; measure, record, and tell the callbacks.

    Args:
        stop: when to stop.
        observables: what to measure, by name. A measurement of several numbers is recorded as
            `name/field`.
        record: after which steps to measure; the last step is always recorded.
        callbacks: told after every step, every record, and at the end.

    Steps on a GPU may still be under way when they are counted; every record waits for them, so that
    `seconds` lags behind by a few steps at most.

    Ctrl-C (or SIGTERM) ends the training after the step in progress, with the reason
    "interrupted"; a second one at once.
    """

    stop: StopRule
    observables: Mapping[str, Observable] = field(default_factory=dict)
    record: Record = field(default_factory=lambda: every(100))
    callbacks: Sequence[Callback] = ()

    def fit(self, dynamics: Iterator[TrainState]) -> History:
        """Train; the history ends with the reason of the stop."""
        history = History()
        try:
            with interruptible() as interrupted:
                clock = time.perf_counter()
                for state in dynamics:
                    now = time.perf_counter()
                    state.seconds += now - clock
                    clock, history = now, state.history
                    history.reason = self._after_step(state, interrupted()) or ""
                    for callback in self.callbacks:
                        callback.after_step(state)
                    if history.reason:
                        for callback in self.callbacks:
                            callback.at_end(state)
                        break
        finally:
            for callback in self.callbacks:
                callback.close()
        return history

    def _after_step(self, state: TrainState, interrupted: bool) -> str | None:
        """Measure if it is time to; the reason to stop, or None."""
        due = self.record(state.step)
        if due:
            self._record(state)
        if interrupted:
            return INTERRUPTED  # it resumes as if nothing had happened: no record out of turn
        reason = self.stop(state)
        if reason and not due:
            self._record(state)
        return reason

    def _record(self, state: TrainState) -> None:
        row: dict[str, float] = {
            "step": state.step,
            "epoch": state.epoch,
            "seconds": state.seconds,
            "learning_rate": state.learning_rate,
            "loss": state.loss,
        }
        for name, observable in self.observables.items():
            row |= dict(_numbers(name, observable(state)))
        state.history.rows.append(row)
        for callback in self.callbacks:
            callback.after_record(state, row)


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Flatten a measurement into named numbers; what is not a number is left out."""
    inner: Any = value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(inner, Mapping):
        for key, part in inner.items():
            yield from _numbers(f"{name}/{key}", part)
    elif isinstance(inner, numbers.Real) or (hasattr(inner, "item") and math.prod(inner.shape) == 1):
        yield name, float(inner)
