"""Live view of a sweep in the terminal: progress, time left, and the last rows."""

import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from symnets.sweeps._batches import Batch
from symnets.sweeps._find import source_hash
from symnets.sweeps._locks import LOCKS, running_batches
from symnets.sweeps._store import Run, read_run, run_hashes

MAX_ROWS, MAX_COLUMNS, MAX_BATCHES = 6, 6, 8
SUMMARY_EVERY = 30.0  # s, where there is no terminal


class LiveView:
    """Progress of a sweep: which runs of its grid have rows, as a live table if standard error is a terminal.

    Runs of other processes in the same directory count too.

    Args:
        name: name of the experiment.
        directory: directory of the runs.
        todo: the batches of the whole grid.
        visible: False to print nothing.
        console: where to print; standard error by default.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        todo: Sequence[Batch],
        *,
        visible: bool = True,
        console: Console | None = None,
    ) -> None:
        self.name, self.directory = name, directory
        self.batch_sizes = {batch.id: len(batch.hashes) for batch in todo}
        self.grid = {name for batch in todo for name in batch.hashes}
        self.done: set[str] = set()
        self.code_hash = source_hash(name)
        self.n_failed, self.n_outdated, self.last_runs = 0, 0, list[Run]()
        self.console = console or Console(stderr=True)
        self.visible, self.live = visible, None
        self.begin = self.last_summary = time.monotonic()
        self._read()
        self.n_done_before = len(self.done)
        if visible and self.console.is_terminal:
            self.live = Live(
                console=self.console, get_renderable=self.render, transient=True, refresh_per_second=2
            )

    def __enter__(self) -> "LiveView":
        """Starts the live table."""
        if self.live is not None:
            self.live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Replaces the live table by one line."""
        if self.live is not None:
            self.live.stop()
        if self.visible:
            self.console.print(self.summary(), soft_wrap=True, highlight=False, markup=False)

    @property
    def complete(self) -> bool:
        """Whether every run has a row."""
        return self.done == self.grid

    def has_rows(self, hashes: Iterable[str]) -> bool:
        """Whether these runs have rows."""
        return self.done.issuperset(hashes)

    def refresh(self) -> None:
        """Reads new rows; without a terminal, prints a line every 30 s.

        Raises:
            ValueError: a row is damaged.
        """
        self._read()
        if self.visible and self.live is None and time.monotonic() - self.last_summary > SUMMARY_EVERY:
            self.last_summary = time.monotonic()
            self.console.print(self.summary(), soft_wrap=True, highlight=False, markup=False)

    def _read(self) -> None:
        new = sorted((run_hashes(self.directory) & self.grid) - self.done)
        for name in new:
            run = read_run(self.directory / name)
            self.n_failed += run.error is not None
            self.n_outdated += None not in (run.code_hash, self.code_hash) and run.code_hash != self.code_hash
            self.last_runs = [*self.last_runs[1 - MAX_ROWS :], run]
            self.done.add(name)

    def print_line(self, text: str) -> None:
        """Prints a line above the table, or warns if the view is not visible."""
        if self.visible:
            self.console.print(f"{self.name}: {text}", soft_wrap=True, highlight=False, markup=False)
        else:
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def summary(self) -> str:
        """The progress of the sweep in one line."""
        line = f"{self.name}: {len(self.done)} of {len(self.grid)} runs done"
        line += f", {self.n_failed} of them failed" if self.n_failed else ""
        line += f", {self.n_outdated} of them made by other code" if self.n_outdated else ""
        return line + ("" if self.complete else f", {self._time_left()}")

    def render(self) -> RenderableType:
        """The live table."""
        running = running_batches(self.directory / LOCKS)
        counts = Table.grid(padding=(0, 3))
        counts.add_row(
            Text(self.name, style="bold"),
            ProgressBar(len(self.grid), len(self.done), width=30),
            f"{len(self.done)} done",
            f"{sum(self.batch_sizes.get(batch, 0) for batch in running)} running",
            Text(f"{self.n_failed} failed", style="red" if self.n_failed else "dim"),
            f"{len(self.grid) - len(self.done)} left",
            self._time_left(),
        )
        parts: list[RenderableType] = [counts]
        reports = [(batch, *report) for batch, report in running.items() if report[0] is not None]
        for batch, fraction, text in reports[:MAX_BATCHES]:
            n = self.batch_sizes.get(batch, 0)
            parts.append(Text(f"  {n} run{'s' if n != 1 else ''} at {fraction:.0%}  {text}", style="dim"))
        if self.last_runs:
            parts.append(self._rows())
        return Group(*parts)

    def _rows(self) -> Table:
        """The last rows: the fields in which they differ, and what was measured."""
        runs = self.last_runs
        fields = [name for name in runs[-1].config if len({run.config.get(name) for run in runs}) > 1]
        measured = list(dict.fromkeys(name for run in runs for name in run.row if name != "verdict"))
        chosen = [name for name in measured if name not in fields][:MAX_COLUMNS]
        table = Table(*fields[:MAX_COLUMNS], "verdict", *chosen, box=None, header_style="dim")
        for run in runs:
            values = [run.config.get(name) for name in fields[:MAX_COLUMNS]]
            values += [run.verdict, *(run.row.get(name) for name in chosen)]
            style = "red" if run.error is not None else ""
            table.add_row(*(Text(short_text(value)) for value in values), style=style)
        return table

    def _time_left(self) -> str:
        """Time left, extrapolated from the runs done since the view began."""
        done = len(self.done) - self.n_done_before
        if not done:
            return "time left unknown"
        seconds = (time.monotonic() - self.begin) / done * (len(self.grid) - len(self.done))
        return f"{hours_minutes_seconds(seconds)} left"


def short_text(value: object) -> str:
    """A value as text for a narrow column."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def hours_minutes_seconds(seconds: float) -> str:
    """A duration as hours, minutes and seconds, such as 1:00:01."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
