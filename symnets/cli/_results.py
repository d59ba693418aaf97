"""`symnets figure`, `symnets table` and `symnets report`: figures, tables and pages of stored runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets import sweeps  # its names are imported when a command uses them
from symnets.files import claim
from symnets.names import did_you_mean


@dataclass(frozen=True)
class Figure:
    """Redraw the figure of the runs in a directory, and write the table and the findings beside it.

    Nothing is run. The sweep may still be running: the figure then shows the runs finished so far.

    Example:
        symnets figure jamming_spheres results/spheres
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Name of an experiment (see `symnets list experiments`), or the import path of a module of your own."""
    directory: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Directory in which `symnets sweep` stored the runs."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for the files; by default the directory of the runs."""

    def run(self) -> None:
        """Draw the figure, write the files and print the findings."""
        from symnets.cli._sweep import print_write_up  # imports torch, which a table does not need

        if not self.directory.is_dir():
            raise FileNotFoundError(f"{self.directory}: there is no such directory")
        folder = self.output or self.directory
        folder = claim(folder / "table.csv", overwrite=True, option="--output").parent
        print_write_up(sweeps.write_up(sweeps.find(self.name), self.directory, folder))


@dataclass(frozen=True)
class Report:
    """Collect the figures, findings and tables of all sweeps below a directory on one HTML page.

    The page is self-contained. Figures are shown as `symnets sweep` or `symnets figure` last drew them.

    Example:
        symnets report results
    """

    directory: Annotated[Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Directory that contains directories of sweeps, at any depth."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """HTML file; by default report.html in the directory."""

    def run(self) -> None:
        """Write the page."""
        path = claim(self.output or self.directory / "report.html", overwrite=True, option="--output")
        page = sweeps.experiment_page(self.directory, path)
        Console().print(f"wrote {page}", soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class TableOf:
    """Write the runs in a directory as one table.

    Each row is a run: its configuration, measured quantities, verdict, error, seconds and commit.

    Example:
        symnets table results/spheres -o spheres.parquet
        symnets table jamming_spheres results/mixed
    """

    words: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(name="runs", metavar="[NAME] DIR")]
    """Directory in which `symnets sweep` stored the runs. If the name of an experiment precedes it, only runs
    of that experiment are written."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("table.csv")
    """File of the table, .csv or .parquet."""

    def run(self) -> None:
        """Read the runs and write the table."""
        if len(self.words) not in (1, 2):
            raise ValueError(f"expected `symnets table [NAME] DIR`, got {' '.join(self.words) or 'neither'}")
        output = claim(self.output, overwrite=True, option="--output")
        *names, directory = self.words
        # No experiment is imported: the name only selects rows.
        name = names[0].removeprefix("symnets.experiments.") if names else None
        table = sweeps.Table.load(directory, name)
        if table.empty:
            others = sorted(set(sweeps.Table.load(directory)["experiment"])) if name else []
            of = f" of {name}" if name else ""
            has = f"; {did_you_mean(name, others)}" if others else "; `symnets sweep` makes them"
            raise ValueError(f"{directory}: expected runs{of}, found none{has}")
        sweeps.write_table(table, output)
        text = f"wrote {len(table)} runs to {output}"
        Console().print(text, soft_wrap=True, highlight=False)
        if note := sweeps.outdated_note(table):
            Console().print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
