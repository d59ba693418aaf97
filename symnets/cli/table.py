"""`symnets table`: the runs of a sweep as a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.experiments.table import Table, write_table


@dataclass(frozen=True)
class TableOf:
    """Write the runs in a directory as one table: a line a run, with its configuration, what was
    measured, verdict, error, seconds and commit.

    Example:
        symnets table results/spheres -o spheres.parquet
    """

    directory: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Where `symnets sweep` put the runs."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("table.csv")
    """File for the table, .csv or .parquet."""

    def run(self) -> None:
        """Read, write."""
        table = Table.load(self.directory)
        if table.empty:
            raise ValueError(f"{self.directory}: expected runs, found none; `symnets sweep` makes them")
        write_table(table, self.output)
        text = f"wrote {len(table)} runs to {self.output}"
        Console().print(text, soft_wrap=True, highlight=False)
