"""Progress where there is no terminal, such as in the log of a batch job: lines instead of a bar."""

import time
from collections.abc import Mapping

from rich.console import Console

from symnets.training.callback import Callback
from symnets.training.state import TrainState


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
