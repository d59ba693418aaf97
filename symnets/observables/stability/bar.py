"""The bar of a measurement."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Images done, and R of the output so far, on standard error.

    Args:
        total: images.
        shown: False for nothing at all.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self.bar = Progress(
            TextColumn("stability"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            disable=not shown,
        )
        self.task = self.bar.add_task("", total=total, text="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def update(self, done: int, r: float) -> None:
        """Tells how many images are done, and their R."""
        self.bar.update(self.task, completed=done, text=f"R {r:.3g}")
