"""Callbacks: what happens besides training."""

from collections.abc import Mapping

from symnets.training.state import TrainState


class Callback:
    """Told of a training's progress; each method does nothing unless overridden."""

    def after_step(self, state: TrainState) -> None:
        """After each update; `state.history.reason` is set if it was the last."""

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """After each record, with the new row."""

    def at_end(self, state: TrainState) -> None:
        """Once, when the training has stopped by a rule or by an interrupt."""

    def close(self) -> None:
        """Once, however the training ended, after an error too; the state may be half moved."""
