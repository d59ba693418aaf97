"""`symnets figure`: the figure of a sweep, drawn anew.

`symnets report`: all sweeps below a directory on one page.

`symnets table`: the runs of a sweep as a table.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.cli._sweep import tell
from symnets.sweeps import Table, experiment_page, find, name_of, write_table, write_up


@dataclass(frozen=True)
class Figure:
    """Draw the figure of the runs in a directory anew, and write table and findings beside it.

    Nothing is run. A sweep that is still at work may be looked at in this way.

    Example:
        symnets figure jamming_spheres results/spheres
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """An experiment of symnets, or the import path of a module of your own."""
    directory: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Where `symnets sweep` put the runs."""

    def run(self) -> None:
        """Draw, write, print the findings."""
        tell(write_up(find(self.name), self.directory))


@dataclass(frozen=True)
class Report:
    """Gather the figures, findings and tables of all sweeps below a directory in one HTML page.

    The page needs no other file. Figures are shown as `symnets sweep` or `symnets figure` last drew them.

    Example:
        symnets report results
    """

    directory: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Holds directories of sweeps, at any depth."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The page; by default report.html in the directory."""

    def run(self) -> None:
        """Gather, write."""
        page = experiment_page(self.directory, self.output)
        Console().print(f"wrote {page}", soft_wrap=True, highlight=False)


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
