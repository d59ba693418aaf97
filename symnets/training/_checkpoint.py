"""Checkpoint: a training on disk, resumed as if nothing had happened."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from symnets.data import read_archive, write_archive
from symnets.training._callbacks import Callback
from symnets.training._state import TrainState


@runtime_checkable
class Remembers(Protocol):
    """A callback whose memory belongs into a checkpoint."""

    def freeze(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON from which `thaw` restores it exactly."""
        ...

    def thaw(self, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
        """Restore what `freeze` took, into one built with the same arguments."""
        ...


@dataclasses.dataclass
class Checkpoint(Callback):
    """Write the state to one file every so many steps and at the end, atomically.

    Args:
        path: the file.
        every: steps between two checkpoints; None writes one at the end alone.
        fingerprint: what must not change between sessions, such as a hash of the configuration.
        callbacks: kept with the state; the trainer must tell them of a step before it tells the checkpoint.
    """

    path: Path
    every: int | None = None
    fingerprint: str = ""
    callbacks: Sequence[Remembers] = ()
    last_step: int | None = dataclasses.field(default=None, init=False)
    """Of what is in the file, as far as this session knows."""

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
        """Write now, unless the training has diverged: the last good state is worth more."""
        if not math.isfinite(state.loss) and state.step:
            return
        tensors, header = state.freeze()
        memories = []
        for index, callback in enumerate(self.callbacks):
            held, memory = callback.freeze()
            tensors |= {f"callback/{index}/{name}": value for name, value in held.items()}
            memories.append(memory)
        header |= {"fingerprint": self.fingerprint, "callbacks": memories}
        write_archive(self.path, "checkpoint", tensors, header)
        self.last_step = state.step

    def restore(self, state: TrainState) -> None:
        """Read into a state, and callbacks, built with the same configuration.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it is damaged, or of a training with another configuration or other callbacks.
        """
        tensors, header = read_archive(self.path, "checkpoint")
        if header["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.path}: the checkpoint is of another configuration; "
                "resume with the configuration it was started with, or choose another output folder"
            )
        memories = header.get("callbacks", [])
        if len(memories) != len(self.callbacks):
            raise ValueError(
                f"{self.path}: expected the memory of {len(self.callbacks)} callbacks, got {len(memories)}; "
                "resume with the callbacks it was started with"
            )
        state.thaw(tensors, header)
        for index, (callback, memory) in enumerate(zip(self.callbacks, memories, strict=True)):
            start = f"callback/{index}/"
            held = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            callback.thaw(held, memory)
        self.last_step = state.step
