"""Progress bar of a measurement that goes block by block through its data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(
    title: str, unit: str, total: int, *, done: int = 0, visible: bool
) -> Iterator[Callable[[int, str], None]]:
    """Progress bar on standard error; yields a function that shows the number done and a text after the bar.

    Args:
        title: what is measured.
        unit: what is counted, in the plural.
        total: number of all.
        done: number that are done at the start.
        visible: whether to print anything.
    """
    columns = (
        TextColumn(title),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not visible) as bar:
        task = bar.add_task("", total=total, completed=done, text="")
        yield lambda n_done, text: bar.update(task, completed=n_done, text=text)
