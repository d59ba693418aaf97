"""Checkpoint: the state of a training run in a file, from which it resumes bit for bit."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from symnets.data import read_archive, write_archive
from symnets.training._callbacks import Callback
from symnets.training._state import TrainState, split_tensors


@runtime_checkable
class Stateful(Protocol):
    """Protocol of callbacks with a state of their own that belongs in a checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values from which `load_state_dict` restores the callback exactly."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, into a callback built with the same arguments."""
        ...


@dataclasses.dataclass
class Checkpoint(Callback):
    """Callback that writes the state to a file at regular steps and at the end, atomically.

    Args:
        path: the file.
        every: steps between two checkpoints; None writes one only at the end.
        fingerprint: what must not change between sessions, such as a hash of the configuration.
        callbacks: callbacks whose state is saved, too; in the trainer's list they come before the checkpoint.
    """

    path: Path
    every: int | None = None
    fingerprint: str = ""
    callbacks: Sequence[Stateful] = ()
    last_step: int | None = dataclasses.field(default=None, init=False)
    """Step of the state in the file, if this session wrote or read it."""

    def due(self, state: TrainState) -> bool:
        """Whether to write after this step."""
        return self.every is not None and state.step % self.every == 0

    def after_step(self, state: TrainState) -> None:
        """Write when due."""
        if self.due(state):
            self.write(state)

    def at_end(self, state: TrainState) -> None:
        """Write the last state."""
        if self.last_step != state.step:
            self.write(state)

    def write(self, state: TrainState) -> None:
        """Write the file now, unless the training has diverged: then the last finite state is kept."""
        if not math.isfinite(state.loss) and state.step:
            return
        tensors, header = split_tensors(state.state_dict())
        memories = []
        for index, callback in enumerate(self.callbacks):
            held, memory = split_tensors(callback.state_dict())
            tensors |= {f"callback/{index}/{name}": value for name, value in held.items()}
            memories.append(memory)
        header |= {"fingerprint": self.fingerprint, "callbacks": memories}
        write_archive(self.path, "checkpoint", tensors, header)
        self.last_step = state.step

    def restore(self, state: TrainState) -> None:
        """Load the file into a state and callbacks that were built with the same configuration.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: the file is damaged, or was written with another configuration or other callbacks.
        """
        tensors, header = read_archive(self.path, "checkpoint")
        if header["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.path}: the checkpoint is of another configuration; "
                "resume with the configuration of the checkpoint, or choose another output folder"
            )
        memories = header.get("callbacks", [])
        if len(memories) != len(self.callbacks):
            raise ValueError(
                f"{self.path}: expected the state of {len(self.callbacks)} callbacks, got {len(memories)}; "
                "resume with the callbacks that the checkpoint was written with"
            )
        state.load_state_dict(tensors | header)
        for index, (callback, memory) in enumerate(zip(self.callbacks, memories, strict=True)):
            start = f"callback/{index}/"
            held = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            callback.load_state_dict(held | memory)
        self.last_step = state.step
