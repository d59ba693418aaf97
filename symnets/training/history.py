"""History: the rows a training recorded."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass
class History:
    """Rows of observables, oldest first, and why the training ended.

    Attributes:
        rows: one dict a record, with `step`, `epoch`, `seconds`, `learning_rate`, `loss` and the
            observables under their names.
        reason: what the stop rule said; empty while training.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""

    def values(self, name: str) -> list[float]:
        """Values of one observable, in the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    def is_best(self, name: str) -> bool:
        """Whether the last row holds the lowest value so far of an observable."""
        *earlier, last = self.values(name) or [float("inf")]
        return last < min(earlier, default=float("inf"))

    def table(self) -> pd.DataFrame:
        """The rows as a table."""
        return pd.DataFrame(self.rows)
