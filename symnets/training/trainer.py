"""Trainer: the one loop and the one clock."""

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from symnets.training.callback import Callback
from symnets.training.history import History
from symnets.training.schedule import Record, every
from symnets.training.state import TrainState
from symnets.training.stopping import StopRule

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

    Ctrl-C (or SIGTERM) ends the training after the step in progress, with the reason
    "interrupted"; a second one at once.
    """

    stop: StopRule
    observables: Mapping[str, Observable] = field(default_factory=dict)
    record: Record = field(default_factory=lambda: every(100))
    callbacks: Sequence[Callback] = ()

    def fit(self, dynamics: Iterator[TrainState]) -> History:
        """Train; the history ends with the reason of the stop."""
        state, history = None, History()
        with _interruptible() as interrupted:
            clock = time.perf_counter()
            for state in dynamics:
                now = time.perf_counter()
                state.seconds += now - clock
                clock, history = now, state.history
                due = self.record(state.step)
                if due:
                    self._record(state)
                reason = INTERRUPTED if interrupted else self.stop(state)
                # An interrupted run resumes as if nothing had happened: no record out of turn.
                if reason and not due and reason != INTERRUPTED:
                    self._record(state)
                history.reason = reason or ""
                for callback in self.callbacks:
                    callback.after_step(state)
                if reason:
                    break
            for callback in self.callbacks:
                if state is not None:
                    callback.at_end(state)
        return history

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
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{key}", inner)
    elif isinstance(value, int | float):
        yield name, float(value)


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM instead of raising; the second raises."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    try:
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are someone else's business
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
