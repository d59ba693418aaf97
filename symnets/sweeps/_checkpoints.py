"""Checkpoints of a running batch: long minimisations that are killed are resumed, not repeated."""

import copy
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from symnets.config import fingerprint
from symnets.provenance import provenance
from symnets.training import Callback, Checkpoint, Stateful, TrainState

PERIOD = 60.0
"""Seconds between two checkpoints; a minimisation that takes less time writes none."""
CHECKPOINTS = ".checkpoints"
"""Folder of the checkpoints, beside the runs."""


@dataclass
class BatchCheckpoints:
    """The checkpoints of a batch, one for each of its minimisations.

    Attributes:
        directory: folder of the checkpoints.
        n_minimisations: how many minimisations have begun.
        seconds: duration of the resumed minimisations in earlier sessions, up to their checkpoints.
    """

    directory: Path
    n_minimisations: int = 0
    seconds: float = 0.0


_checkpoints: ContextVar[BatchCheckpoints | None] = ContextVar("checkpoints", default=None)


@contextmanager
def resumable(directory: Path) -> Iterator[BatchCheckpoints]:
    """Context in which minimisations in this thread write checkpoints to a directory.

    The directory is removed at the end, also after an exception of the run, so that a failed run begins anew.
    It is kept after Ctrl-C and when the process is killed.
    """
    batch = BatchCheckpoints(directory)
    token = _checkpoints.set(batch)
    try:
        yield batch
    except (Exception, SystemExit):
        shutil.rmtree(directory, ignore_errors=True)
        raise
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        _checkpoints.reset(token)


def remove_checkpoints(folder: Path, batches: Iterable[str]) -> None:
    """Removes the checkpoints of batches that are done, and the folder if it is empty then."""
    for batch in batches:
        shutil.rmtree(folder / batch, ignore_errors=True)
    with suppress(OSError):  # other batches have some, or there is no folder
        folder.rmdir()


@dataclass
class PeriodicCheckpoint(Checkpoint):
    """A checkpoint every `PERIOD` seconds, and at the end of a minimisation that took longer."""

    last: float = field(default_factory=time.monotonic)

    def due(self, state: TrainState) -> bool:
        """Whether the last checkpoint is `PERIOD` seconds old."""
        return time.monotonic() - self.last >= PERIOD

    def at_end(self, state: TrainState) -> None:
        """Writes the last state, unless the minimisation was too short for a checkpoint."""
        if self.last_step is not None:
            super().at_end(state)

    def write(self, state: TrainState) -> None:
        """Writes a checkpoint."""
        super().write(state)
        self.last = time.monotonic()


def checkpoint(state: TrainState, key: str, callbacks: Sequence[Callback] = ()) -> list[PeriodicCheckpoint]:
    """Restores the next minimisation of this run from its checkpoint, if there is one.

    A run does the same minimisations in the same order whenever it is repeated, so its place in this order
    identifies a minimisation. A checkpoint that is damaged, or was written by another commit, by other
    versions of the packages or for another configuration, is removed, and the minimisation begins anew.

    Args:
        state: the state at the beginning of the minimisation; restored in place.
        key: a hash of all that determines this minimisation.
        callbacks: callbacks of the trainer, restored with the state.

    Returns:
        The callback that writes checkpoints, to be given to the trainer after the others; an empty list
        outside of `resumable`, or if a callback is not `Stateful`.
    """
    batch = _checkpoints.get()
    if batch is None:
        return []
    batch.n_minimisations += 1
    stateful = [callback for callback in callbacks if isinstance(callback, Stateful)]
    if len(stateful) < len(callbacks):
        return []
    callback = PeriodicCheckpoint(
        batch.directory / f"{batch.n_minimisations}.safetensors",
        fingerprint=fingerprint({"run": key, **provenance()}),
        callbacks=stateful,
    )
    if callback.path.is_file() and _restore(callback, state):
        batch.seconds += state.seconds
    return [callback]


def _restore(checkpoint: PeriodicCheckpoint, state: TrainState) -> bool:
    """Restores state and callbacks; if that fails, leaves them unchanged, removes the file, returns False."""
    members = state.members
    before, callbacks_before = copy.deepcopy(
        (state.state_dict(), [callback.state_dict() for callback in checkpoint.callbacks])
    )
    try:
        checkpoint.restore(state)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # another commit causes the last three
        checkpoint.path.unlink(missing_ok=True)
        state.members = members
        state.load_state_dict(before)
        for callback, dictionary in zip(checkpoint.callbacks, callbacks_before, strict=True):
            callback.load_state_dict(dictionary)
        return False
    return True
