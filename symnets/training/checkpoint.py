"""Checkpoint: a training on disk, resumed as if nothing had happened."""

import dataclasses
import math
from pathlib import Path

from symnets.data.archive import read_archive, write_archive
from symnets.training.callback import Callback
from symnets.training.state import TrainState


@dataclasses.dataclass
class Checkpoint(Callback):
    """Write the state to one file every so many steps and at the end, atomically.

    Args:
        path: the file.
        every: steps between two checkpoints.
        fingerprint: what must not change between sessions, such as a hash of the configuration.
    """

    path: Path
    every: int
    fingerprint: str = ""

    def after_step(self, state: TrainState) -> None:
        """Write when due."""
        if state.step % self.every == 0:
            self.write(state)

    def at_end(self, state: TrainState) -> None:
        """Write the last state."""
        if state.step % self.every:
            self.write(state)

    def write(self, state: TrainState) -> None:
        """Write now, unless the training has diverged: the last good state is worth more."""
        if not math.isfinite(state.loss) and state.step:
            return
        tensors, header = state.freeze()
        write_archive(self.path, "checkpoint", tensors, header | {"fingerprint": self.fingerprint})

    def restore(self, state: TrainState) -> None:
        """Read into a state built with the same configuration.

        Raises:
            FileNotFoundError: there is no checkpoint.
            ValueError: it is damaged, or of a training with another configuration.
        """
        tensors, header = read_archive(self.path, "checkpoint")
        if header["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{self.path}: the checkpoint is of another configuration; "
                "resume with the configuration it was started with, or choose another output folder"
            )
        state.thaw(tensors, header)
