"""Long runs that are killed go on where they were: checkpoints of a batch until its rows are written."""

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
"""Seconds between two checkpoints; a run that takes less leaves none."""
CHECKPOINTS = ".checkpoints"
"""Folder of the checkpoints, beside the runs."""


@dataclass
class Place:
    """Where the minimisations of a batch keep checkpoints.

    Attributes:
        directory: of the checkpoints.
        calls: minimisations begun.
        seconds: that minimisations took in earlier sessions, up to the checkpoints gone on from.
    """

    directory: Path
    calls: int = 0
    seconds: float = 0.0


_place: ContextVar[Place | None] = ContextVar("checkpoints", default=None)


@contextmanager
def resumable(directory: Path) -> Iterator[Place]:
    """Within, in this thread, minimisations keep checkpoints in a directory; at the end it is removed.

    It stays after Ctrl-C and where the process is killed. An exception of the run removes it: what
    failed is not gone on with.
    """
    place = Place(directory)
    token = _place.set(place)
    try:
        yield place
    except Exception:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    else:
        shutil.rmtree(directory, ignore_errors=True)
    finally:
        _place.reset(token)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Remove the checkpoints of batches that are done, and their folder once it is empty."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):  # there are others, or there is none
        folder.rmdir()


@dataclass
class Periodic(Checkpoint):
    """A checkpoint by the clock: every `PERIOD` seconds, and at the end of what took longer than that."""

    last: float = field(default_factory=time.monotonic)

    def due(self, state: TrainState) -> bool:
        """Whether the last was written long ago."""
        return time.monotonic() - self.last >= PERIOD

    def at_end(self, state: TrainState) -> None:
        """Write the last state, if there was one before."""
        if self.last_step is not None:
            super().at_end(state)

    def write(self, state: TrainState) -> None:
        """Write, and wait again."""
        super().write(state)
        self.last = time.monotonic()


def checkpoint(state: TrainState, said: str, callbacks: Sequence[Callback] = ()) -> list[Periodic]:
    """The checkpoint of the next minimisation of this run, and its state restored from it if there is one.

    A run does the same minimisations in the same order whenever it runs, so they are known by their number.
    None outside of `resumable`, nor if a callback is not `Stateful`.

    A checkpoint that is damaged, or was written by other code, by other versions of the packages or for
    another configuration, is removed, and the minimisation begins anew.

    Args:
        state: as it begins.
        said: a hash of all that decides this minimisation.
        callbacks: restored with the state. The trainer is given the checkpoint after them.
    """
    place = _place.get()
    if place is None:
        return []
    place.calls += 1
    memories = [callback for callback in callbacks if isinstance(callback, Stateful)]
    if len(memories) < len(callbacks):
        return []
    kept = Periodic(
        place.directory / f"{place.calls}.safetensors",
        fingerprint=fingerprint({"run": said, **provenance()}),
        callbacks=memories,
    )
    if kept.path.is_file() and _restored(kept, state):
        place.seconds += state.seconds
    return [kept]


def _restored(kept: Periodic, state: TrainState) -> bool:
    """Whether state and callbacks could be restored; if not they are as before, and the file is gone."""
    members = state.members
    begun, memories = copy.deepcopy(
        (state.state_dict(), [callback.state_dict() for callback in kept.callbacks])
    )
    try:
        kept.restore(state)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):  # the last three: of other code
        kept.path.unlink(missing_ok=True)
        state.members = members
        state.load_state_dict(begun)
        for callback, memory in zip(kept.callbacks, memories, strict=True):
            callback.load_state_dict(memory)
        return False
    return True
