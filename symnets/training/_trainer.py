"""Trainer: the training loop, which steps the dynamics, measures, records, and stops."""

import dataclasses
import math
import numbers
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from symnets.interrupt import interruptible
from symnets.training._callbacks import Callback
from symnets.training._distributed import Processes
from symnets.training._schedule import Record, every
from symnets.training._state import History, TrainState
from symnets.training._stopping import StopRule

Observable = Callable[[TrainState], Any]
"""Measurement of a state: a number, a mapping of numbers, or a dataclass of them."""

INTERRUPTED = "interrupted"
"""Reason in the history when Ctrl-C or SIGTERM ended the training."""


@dataclass
class Trainer:
    """Run dynamics until a rule stops them; measure, record, and call the callbacks.

    Dynamics are an iterator of training states, one for each step, such as `descend` returns.

    Ctrl-C or SIGTERM ends the training after the current step, with the reason "interrupted"; a second one
    ends it at once. If one of several processes is interrupted, all end. The callbacks run to their end, so
    that a checkpoint is written; with `on_interrupt="raise"` `fit` then raises KeyboardInterrupt.

    A step on a GPU may still be running when it is counted. Every record waits for the GPU, so `seconds` lags
    behind by a few steps at most.

    Args:
        stop: when to stop.
        observables: what to measure, by name. A measurement of several numbers is recorded as `name/field`.
        record: after which steps to measure; the last step is always recorded.
        callbacks: called after every step, after every record, and at the end.
        on_interrupt: "stop" returns the history of an interrupted training, "raise" raises KeyboardInterrupt.
        processes: processes that train together. Give callbacks that write files to the first one only. All
            processes must record the same measurements. They use the clock of the first, so that stop rules
            agree.

    Raises:
        ValueError: `on_interrupt` is neither "stop" nor "raise".
    """

    stop: StopRule
    observables: Mapping[str, Observable] = field(default_factory=dict)
    record: Record = field(default_factory=lambda: every(100))
    callbacks: Sequence[Callback] = ()
    on_interrupt: Literal["stop", "raise"] = "stop"
    processes: Processes = Processes()  # noqa: RUF009 (it cannot be changed)

    def __post_init__(self) -> None:
        if self.on_interrupt not in ("stop", "raise"):
            raise ValueError(f"on_interrupt: expected 'stop' or 'raise', got {self.on_interrupt!r}")

    def fit(self, dynamics: Iterator[TrainState]) -> History:
        """Train until the stop rule holds; `reason` of the returned history says why the training ended.

        Raises:
            KeyboardInterrupt: the training was interrupted, and `on_interrupt` is "raise".
            ValueError: `dynamics` is not an iterator, but a state or a model, for example.
        """
        if not hasattr(dynamics, "__next__"):
            raise ValueError(
                f"dynamics: expected an iterator of states such as descend(state, loss, loader), got a "
                f"{type(dynamics).__name__}"
            )
        history = History()
        try:
            with interruptible() as interrupted:
                clock = time.perf_counter()
                for state in dynamics:
                    now = time.perf_counter()
                    elapsed, stopped = self.processes.agree(now - clock, interrupted())
                    state.seconds += elapsed
                    clock, history = now, state.history
                    history.reason = self._after_step(state, stopped) or ""
                    for callback in self.callbacks:
                        callback.after_step(state)
                    if history.reason:
                        for callback in self.callbacks:
                            callback.at_end(state)
                        break
        finally:
            for callback in self.callbacks:
                callback.close()
        if history.reason == INTERRUPTED and self.on_interrupt == "raise":
            raise KeyboardInterrupt
        return history

    def _after_step(self, state: TrainState, interrupted: bool) -> str | None:
        """Record the observables if they are due, and return the reason to stop, or None."""
        due = self.record(state.step)
        if due:
            self._record(state)
        if interrupted:
            return INTERRUPTED  # no record, so that a resumed training has the rows of an uninterrupted one
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
    """The numbers of a measurement by name; other values are left out."""
    inner: Any = value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(inner, Mapping):
        for key, part in inner.items():
            yield from _numbers(f"{name}/{key}", part)
    elif isinstance(inner, numbers.Real) or (hasattr(inner, "item") and math.prod(inner.shape) == 1):
        yield name, float(inner)
