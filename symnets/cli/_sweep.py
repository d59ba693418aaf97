"""`symnets run` and `symnets sweep`: run one configuration of an experiment, or a grid of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from symnets.cli._parse import parse
from symnets.files import claim
from symnets.names import did_you_mean
from symnets.report import terminal_table
from symnets.sweeps import (
    Serial,
    WriteUp,
    batches,
    executor,
    experiments,
    find,
    findings_table,
    outdated_note,
    override,
    read_run,
    run_hashes,
    short_text,
    sweep,
    write_up,
)


@dataclass(frozen=True)
class Run:
    """Run one configuration of an experiment and print its row; --output stores the run.

    The options are the fields of the experiment's configuration; `symnets run NAME --help` lists them.

    Example:
        symnets run jamming_spheres --seed 3 --output results/mine
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Name of an experiment (see `symnets list experiments`), or the import path of a module of your own."""
    output: Path | None = None
    """Directory of the run. If it already contains this run, its row is printed and nothing is computed."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Run":
        """Parse the options of the experiment whose name is the first argument."""
        help_requested = bool({"-h", "--help"} & set(arguments))
        if not arguments or (arguments[0].startswith("-") and not help_requested):
            known = "".join(f"\n  {name}: {line}" for name, line in experiments().items())
            raise ValueError(f"name an experiment first, such as `symnets run NAME`. Valid names:{known}")
        if arguments[0].startswith("-"):
            return parse(cls, "run", arguments)
        config = find(arguments[0]).Config
        options = Annotated[config, tyro.conf.arg(name="")]
        settings = [("settings", options, field(kw_only=True))]
        command = make_dataclass("Run", settings, bases=(cls,), frozen=True)
        command.__doc__ = cls.__doc__
        # Only --help, because tyro's help omits options that are already set.
        return parse(command, "run", ["--help"] if help_requested else arguments)

    def run(self) -> int:
        """Run, store and print the row; the exit status is 1 if the run failed."""
        experiment, config = find(self.name), getattr(self, "settings")  # noqa: B009
        with TemporaryDirectory() as temporary:
            directory = self.output or Path(temporary)
            directory = claim(directory / "run", overwrite=True, option="--output").parent
            table = sweep(experiment, [config], directory, executor=Serial(), retry_failed=True)
            (stored,) = [read_run(directory / name) for name in table.index]
        row = Table("", "", show_header=False)
        for name, value in (stored.config | stored.row | {"seconds": stored.seconds}).items():
            row.add_row(name, Text(short_text(value)))
        console = Console()
        console.print(f"{stored.experiment} {stored.hash}", soft_wrap=True, highlight=False, style="bold")
        console.print(row)
        if note := outdated_note(table):
            console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
        if self.output is not None:
            console.print(f"stored in {self.output / stored.hash}", soft_wrap=True, highlight=False)
        if stored.error is not None:
            Console(stderr=True).print(Text(stored.error, style="red"), soft_wrap=True)
            return 1
        return 0


@dataclass(frozen=True)
class Sweep:
    """Run an experiment on a grid, draw its figure and compare the findings with published values.

    Runs that the output directory already contains are not repeated: after Ctrl-C or a power failure the
    same command continues the sweep. Several processes, on one machine or on many that share the
    directory, can run the same sweep and divide the work. A run that raises an exception is recorded
    with the error and does not stop the others; the exit status is then 1. After Ctrl-C it is 130.

    Example:
        symnets sweep jamming_spheres --preset quick --output results/spheres
        symnets sweep jamming_plane --set seed=0,1 --set width=8,10
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Name of an experiment (see `symnets list experiments`), or the import path of a module of your own."""
    preset: str = "quick"
    """Name of the grid: quick takes at most five minutes on two cores, paper is the published grid."""
    settings: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", metavar="FIELD=VALUE,...")
    ] = ()
    """Values of a field of the configuration that replace those of the preset; may be repeated for other
    fields."""
    output: Path | None = None
    """Directory of runs, figure and table; by default results/NAME-PRESET, followed by the --set values."""
    executor: str = "local"
    """local (processes on this machine), serial (this process, for debugging) or dask://HOST:PORT."""
    workers: int | None = None
    """Number of processes, with local; by default one per core."""
    retry_failed: bool = False
    """Repeat runs that raised an exception."""
    retry_outdated: bool = False
    """Repeat runs that were made by other code: the experiment's module, a module beside it that it imports,
    or the version of symnets has changed since."""

    def run(self) -> int:
        """Run the sweep and write its results; the exit status is 1 if runs failed, 130 after Ctrl-C."""
        experiment = find(self.name)
        if self.preset not in experiment.PRESETS:
            raise ValueError(
                f"{self.name} has no preset {self.preset!r}; {did_you_mean(self.preset, experiment.PRESETS)}"
            )
        configs = override(experiment.PRESETS[self.preset], self.settings)
        # Each grid has its own figure, hence its own directory.
        settings = [re.sub(r"[^\w.,=+-]", "_", setting) for setting in self.settings]
        directory = self.output or Path("results") / "-".join([self.name, self.preset, *settings])
        directory = claim(directory / "table.csv", overwrite=True, option="--output").parent
        try:
            with executor(self.executor, self.workers) as where:
                retries = {"retry_failed": self.retry_failed, "retry_outdated": self.retry_outdated}
                sweep(experiment, configs, directory, executor=where, **retries)
        except KeyboardInterrupt:
            grid = {name for batch in batches(experiment, configs) for name in batch.hashes}
            done = len(grid & run_hashes(directory)) if directory.is_dir() else 0
            Console(stderr=True).print(
                f"interrupted; {done} of {len(grid)} runs are stored in {directory}. "
                "The same command continues the sweep.",
                soft_wrap=True,
                highlight=False,
            )
            return 130
        return print_write_up(write_up(experiment, directory))


def print_write_up(written: WriteUp) -> int:
    """Print findings, failures and the names of files; return 1 if runs failed, else 0.

    Raises:
        OSError: a file could not be written; the findings have been printed.
    """
    console = Console()
    if written.findings:
        console.print(terminal_table(findings_table(written.findings)))
    for name, error in list(written.failed["error"].items())[:5]:
        console.print(Text(f"{name} failed: {str(error).partition(chr(10))[0]}", style="red"), soft_wrap=True)
    if n := len(written.failed):
        console.print(
            f"{n} of {len(written.table)} runs failed; their errors are in the table", highlight=False
        )
    if written.note is not None:
        console.print(f"note: {written.note}", soft_wrap=True, highlight=False, markup=False)
    if written.errors:
        raise written.errors[0]
    for path in written.files:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    return 1 if n else 0
