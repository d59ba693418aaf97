"""A progress bar that shows the state of what is running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(name: str, total: int, *, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """Yields `show(step, state)`, which moves the bar and writes the state beside it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    with Progress(*columns, disable=not shown) as progress:
        task = progress.add_task(name, total=total, state="")
        yield lambda step, state: progress.update(task, completed=step, state=state)
