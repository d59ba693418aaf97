"""What one sees of a sweep while it runs: how far it is, when it will end, and the last rows."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from symnets.sweeps._batches import Batch
from symnets.sweeps._claims import at_work
from symnets.sweeps._store import Run, present, read_run
from symnets.sweeps._worker import CLAIMS

ROWS, COLUMNS, SHOWN = 6, 6, 8
LINE_EVERY = 30.0  # s, where there is no terminal


class Watch:
    """Knows which runs of a grid have rows, whoever made them; on a terminal it shows so, live.

    Args:
        name: of the experiment.
        directory: of the runs.
        todo: the whole grid.
        shown: whether to show anything, on standard error.
        console: where to show it instead.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        todo: Sequence[Batch],
        *,
        shown: bool = True,
        console: Console | None = None,
    ) -> None:
        self.name, self.directory = name, directory
        self.members = {batch.id: len(batch.hashes) for batch in todo}
        self.grid = {hash_ for batch in todo for hash_ in batch.hashes}
        self.done: set[str] = set()
        self.failed, self.last = 0, list[Run]()
        self.console = console or Console(stderr=True)
        self.shown, self.live = shown, None
        self.begin = self.lined = time.monotonic()
        self._read()
        self.before = len(self.done)
        if shown and self.console.is_terminal:
            self.live = Live(
                console=self.console, get_renderable=self.show, transient=True, refresh_per_second=2
            )

    def __enter__(self) -> "Watch":
        """Begins to show."""
        if self.live is not None:
            self.live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves one line standing."""
        if self.live is not None:
            self.live.stop()
        if self.shown:
            self.console.print(self.line(), soft_wrap=True, highlight=False, markup=False)

    @property
    def complete(self) -> bool:
        """Whether every run has a row."""
        return self.done == self.grid

    def has(self, hashes: Iterable[str]) -> bool:
        """Whether these runs have rows."""
        return self.done.issuperset(hashes)

    def look(self) -> None:
        """Reads the rows that are new; where there is no terminal, it is time for a line now and then.

        Raises:
            ValueError: a row is damaged.
        """
        self._read()
        if self.shown and self.live is None and time.monotonic() - self.lined > LINE_EVERY:
            self.lined = time.monotonic()
            self.console.print(self.line(), soft_wrap=True, highlight=False, markup=False)

    def _read(self) -> None:
        new = sorted((present(self.directory) & self.grid) - self.done)
        for name in new:
            run = read_run(self.directory / name)
            self.failed += run.error is not None
            self.last = [*self.last[1 - ROWS :], run]
            self.done.add(name)

    def line(self) -> str:
        """How far the sweep is, in a line."""
        line = f"{self.name}: {len(self.done)} of {len(self.grid)} runs done"
        line += f", {self.failed} of them failed" if self.failed else ""
        return line + ("" if self.complete else f", {self._left()}")

    def show(self) -> RenderableType:
        """The live table."""
        running = at_work(self.directory / CLAIMS)
        counts = Table.grid(padding=(0, 3))
        counts.add_row(
            Text(self.name, style="bold"),
            ProgressBar(len(self.grid), len(self.done), width=30),
            f"{len(self.done)} done",
            f"{sum(self.members.get(batch, 0) for batch in running)} running",
            Text(f"{self.failed} failed", style="red" if self.failed else "dim"),
            f"{len(self.grid) - len(self.done)} left",
            self._left(),
        )
        parts: list[RenderableType] = [counts]
        telling = [(batch, *told) for batch, told in running.items() if told[0] is not None]
        for batch, fraction, text in telling[:SHOWN]:
            n = self.members.get(batch, 0)
            parts.append(Text(f"  {n} run{'s' if n != 1 else ''} at {fraction:.0%}  {text}", style="dim"))
        if self.last:
            parts.append(self._rows())
        return Group(*parts)

    def _rows(self) -> Table:
        """The last rows: what varies in the grid is what tells them apart."""
        fields = [name for name in self.last[-1].config if len({run.config[name] for run in self.last}) > 1]
        measured = list(dict.fromkeys(name for run in self.last for name in run.row if name != "verdict"))
        chosen = [name for name in measured if name not in fields][:COLUMNS]
        table = Table(*fields[:COLUMNS], "verdict", *chosen, box=None, header_style="dim")
        for run in self.last:
            values = [run.config[name] for name in fields[:COLUMNS]]
            values += [run.verdict, *(run.row.get(name) for name in chosen)]
            style = "red" if run.error is not None else ""
            table.add_row(*(Text(short(value)) for value in values), style=style)
        return table

    def _left(self) -> str:
        """Time to go, by the rate so far."""
        done = len(self.done) - self.before
        if not done:
            return "time to go unknown"
        return f"{clock((time.monotonic() - self.begin) / done * (len(self.grid) - len(self.done)))} to go"


def short(value: object) -> str:
    """A value for a narrow column."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
