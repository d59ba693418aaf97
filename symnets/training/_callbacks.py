"""Callbacks of the trainer: logs in CSV and TensorBoard, a progress bar, progress lines."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from symnets.files import whole_file
from symnets.training._state import TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Callback:
    """Base class of callbacks: methods that the trainer calls, which do nothing unless overridden."""

    def after_step(self, state: TrainState) -> None:
        """Called after each update; `state.history.reason` is set if it was the last."""

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Called after each record, with the new row."""

    def at_end(self, state: TrainState) -> None:
        """Called once, when a stop rule or an interrupt has ended the training."""

    def close(self) -> None:
        """Called once at the very end, also after an error."""


class CSVLog(Callback):
    """Write the history to a CSV file after each record, atomically."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Write all rows."""
        with whole_file(self.path) as temporary:
            state.history.table().to_csv(temporary, index=False)


class TensorBoardLog(Callback):
    """Write each record to a TensorBoard folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self.writer: SummaryWriter | None = None

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Write the values of the row."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self.writer = SummaryWriter(self.folder, purge_step=state.step)
        for name, value in row.items():
            self.writer.add_scalar(name, value, state.step)
        self.writer.flush()

    def close(self) -> None:
        """Close the writer."""
        if self.writer is not None:
            self.writer.close()


class ProgressLines(Callback):
    """Progress as lines of text for logs, after records, at most one every `seconds`, and one at the end.

    Args:
        total: number of steps of the whole training.
        show: observables to print, by name, with (label, factor, format); see `ProgressBar`.
        console: where to print.
        seconds: least time between two lines, in seconds.
    """

    def __init__(
        self,
        total: int,
        *,
        show: Mapping[str, tuple[str, float, str]],
        console: Console,
        seconds: float = 30.0,
    ) -> None:
        self.total, self.show, self.console, self.seconds = total, show, console, seconds
        self.printed, self.waiting = -float("inf"), ""

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Print the line if enough time has passed since the last one, otherwise keep it for the end."""
        start = f"step {state.step}/{self.total}  {state.seconds:.0f} s  loss {state.loss:.2e}"
        self.waiting = "  ".join([start, *_printed(row, self.show)])
        if time.monotonic() - self.printed >= self.seconds:
            self._print()

    def at_end(self, state: TrainState) -> None:
        """Print the last record, unless it has been printed."""
        self._print()

    def _print(self) -> None:
        if self.waiting:
            self.console.print(self.waiting, soft_wrap=True, highlight=False, markup=False)
            self.printed, self.waiting = time.monotonic(), ""


class ProgressBar(Callback):
    """Progress bar on a terminal: step, time left, loss, and some observables.

    Args:
        total: number of steps of the whole training.
        seconds: time limit of the training in seconds, if any.
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
        self.recorded, self.redrawn = "", 0.0
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
        if now - self.redrawn > 0.1:
            self.redrawn = now
            left = (self.total - state.step) * state.seconds / max(state.step, 1)
            if self.seconds is not None:
                left = max(min(left, self.seconds - state.seconds), 0.0)
            text = f"loss {state.loss:.2e}  {self.recorded}"
            self.bar.update(self.task, completed=state.step, left=_clock(left), text=text)

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Update the observables."""
        self.recorded = "  ".join(_printed(row, self.show))

    def at_end(self, state: TrainState) -> None:
        """Draw the last state."""
        if self.task is not None:
            self.bar.update(self.task, completed=state.step, left=_clock(0), text=self.recorded)

    def close(self) -> None:
        """Stop the bar."""
        self.bar.stop()


def _printed(row: Mapping[str, float], show: Mapping[str, tuple[str, float, str]]) -> list[str]:
    """The values of a record to show, with labels and in their units."""
    return [f"{label} {row[name] * by:{form}}" for name, (label, by, form) in show.items() if name in row]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
