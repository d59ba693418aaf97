"""Progress: a bar with the losses and the time left."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from symnets.training.callback import Callback
from symnets.training.state import TrainState


class ProgressBar(Callback):
    """A bar on the terminal: step, loss, the chosen observables, time left.

    Args:
        total: steps of the whole training.
        seconds: the longest it may take, if limited.
        show: observables to show, by name, with (label, factor, format), such as
            {"validation/forces_rmse": ("F RMSE meV/Å", 1000, ".1f")}.
        console: where to draw; standard error by default.
    """

    def __init__(
        self,
        total: int,
        *,
        seconds: float | None = None,
        show: Mapping[str, tuple[str, float, str]] | None = None,
        console: Console | None = None,
    ) -> None:
        self.total, self.seconds, self.show = total, seconds, show or {}
        self.recorded, self.drawn, self.start = "", 0.0, None
        self.bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("step {task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left  {task.fields[text]}"),
            console=console or Console(stderr=True),
        )
        self.task = None

    def after_step(self, state: TrainState) -> None:
        """Redraw, at most ten times a second."""
        now = time.perf_counter()
        if self.task is None:
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, left="?", text="")
            self.start = state.step
        if now - self.drawn > 0.1:
            self.drawn = now
            left = (self.total - state.step) * state.seconds / max(state.step, 1)
            if self.seconds is not None:
                left = max(min(left, self.seconds - state.seconds), 0.0)
            text = f"loss {state.loss:.2e}  {self.recorded}"
            self.bar.update(self.task, completed=state.step, left=_clock(left), text=text)

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Take the observables to show."""
        shown = [
            f"{label} {row[name] * by:{form}}" for name, (label, by, form) in self.show.items() if name in row
        ]
        self.recorded = "  ".join(shown)

    def at_end(self, state: TrainState) -> None:
        """Leave the last line standing."""
        if self.task is not None:
            self.bar.update(self.task, completed=state.step, left=_clock(0), text=self.recorded)

    def close(self) -> None:
        """Give the terminal back."""
        self.bar.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
