"""`symnets table`: the runs of a sweep as a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.experiments.find import find, name_of
from symnets.experiments.table import Table, write_table


@dataclass(frozen=True)
class TableOf:
    """Write the runs in a directory as one table: a line a run, with its configuration, what was
    measured, verdict, error, seconds and commit.

    Example:
        symnets table results/spheres -o spheres.parquet
        symnets table jamming_spheres results/mixed
    """

    words: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(name="runs", metavar="[NAME] DIR")]
    """Where `symnets sweep` put the runs; after the name of an experiment, the runs of this one alone."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("table.csv")
    """File for the table, .csv or .parquet."""

    def run(self) -> None:
        """Read, write."""
        if len(self.words) not in (1, 2):
            raise ValueError(f"expected `symnets table [NAME] DIR`, got {' '.join(self.words) or 'neither'}")
        *names, directory = self.words
        name = name_of(find(names[0])) if names else None
        table = Table.load(directory, name)
        if table.empty:
            of = f" of {name}" if name else ""
            raise ValueError(f"{directory}: expected runs{of}, found none; `symnets sweep` makes them")
        write_table(table, self.output)
        text = f"wrote {len(table)} runs to {self.output}"
        Console().print(text, soft_wrap=True, highlight=False)
