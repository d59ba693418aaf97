"""Long runs that are killed go on where they were: checkpoints of a batch until its rows are written."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from symnets.training.checkpoint import Checkpoint
from symnets.training.state import TrainState

PERIOD = 60.0
"""Seconds between two checkpoints; a run that takes less leaves none."""
CHECKPOINTS = ".checkpoints"
"""Folder of the checkpoints, beside the runs."""


@dataclass
class _Place:
    directory: Path
    calls: int = 0


_place: ContextVar[_Place | None] = ContextVar("checkpoints", default=None)


@contextmanager
def resumable(directory: Path) -> Iterator[None]:
    """Within, in this thread, minimisations keep checkpoints in a directory; at the end it is removed.

    It stays after Ctrl-C and where the process is killed. An exception of the run removes it: what
    failed is not gone on with.
    """
    token = _place.set(_Place(directory))
    try:
        yield
    except Exception:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        _place.reset(token)


@dataclass
class Periodic(Checkpoint):
    """A checkpoint by the clock: every `PERIOD` seconds, and at the end of what took longer than that."""

    every: int = 1
    last: float = field(default_factory=time.monotonic)
    written: bool = False

    def after_step(self, state: TrainState) -> None:
        """Write when due."""
        if time.monotonic() - self.last >= PERIOD:
            self.write(state)
            self.last, self.written = time.monotonic(), True

    def at_end(self, state: TrainState) -> None:
        """Write the last state, if there was one before."""
        if self.written:
            self.write(state)


def checkpoint(state: TrainState, fingerprint: str) -> list[Periodic]:
    """The checkpoint of the next minimisation of this run, and its state restored from it if there is one.

    A run does the same minimisations in the same order whenever it runs, so they are known by their number.
    None outside of `resumable`.
    """
    place = _place.get()
    if place is None:
        return []
    place.calls += 1
    kept = Periodic(place.directory / f"{place.calls}.safetensors", fingerprint=fingerprint)
    if kept.path.is_file():
        kept.restore(state)
        kept.written = True
    return [kept]
