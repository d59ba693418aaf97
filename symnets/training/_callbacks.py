"""Callbacks: what happens besides training.

Logs of a training: CSV and TensorBoard.

Progress where there is no terminal, such as in the log of a batch job: lines instead of a bar.

Progress: a bar with the losses and the time left.
"""

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
    """Told of a training's progress; each method does nothing unless overridden."""

    def after_step(self, state: TrainState) -> None:
        """After each update; `state.history.reason` is set if it was the last."""

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """After each record, with the new row."""

    def at_end(self, state: TrainState) -> None:
        """Once, when the training has stopped by a rule or by an interrupt."""

    def close(self) -> None:
        """Once, however the training ended, after an error too; the state may be half moved."""


class CSVLog(Callback):
    """Write the history to a CSV file after each record; the file is always whole."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Replace the file."""
        with whole_file(self.path) as temporary:
            state.history.table().to_csv(temporary, index=False)


class TensorBoardLog(Callback):
    """Write each row to a TensorBoard folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        self.writer: SummaryWriter | None = None

    def after_record(self, state: TrainState, row: Mapping[str, float]) -> None:
        """Append the row."""
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes a second to import

            self.writer = SummaryWriter(self.folder, purge_step=state.step)
        for name, value in row.items():
            self.writer.add_scalar(name, value, state.step)
        self.writer.flush()

    def close(self) -> None:
        """Close the folder."""
        if self.writer is not None:
            self.writer.close()


class ProgressLines(Callback):
    """A line after a record, but at most one in `seconds`, and one at the end.

    Args:
        total: steps of the whole training.
        show: observables to show, by name, with (label, factor, format); see `ProgressBar`.
        console: where to print.
        seconds: between two lines, at least.
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
        """Print if it is time to, else keep the line for the end."""
        shown = [
            f"{label} {row[name] * by:{form}}" for name, (label, by, form) in self.show.items() if name in row
        ]
        spent = f"step {state.step}/{self.total}  {state.seconds:.0f} s  loss {state.loss:.2e}"
        self.waiting = "  ".join([spent, *shown])
        if time.monotonic() - self.printed >= self.seconds:
            self._print()

    def at_end(self, state: TrainState) -> None:
        """Print the last record, if that is not done."""
        self._print()

    def _print(self) -> None:
        if self.waiting:
            self.console.print(self.waiting, soft_wrap=True, highlight=False, markup=False)
            self.printed, self.waiting = time.monotonic(), ""


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
