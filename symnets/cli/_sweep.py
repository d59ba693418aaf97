"""`symnets run`: one run of an experiment.

`symnets sweep`: an experiment on a grid of configurations.
"""

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
from symnets.names import did_you_mean
from symnets.sweeps import (
    Finding,
    Serial,
    WriteUp,
    band,
    batches,
    executor,
    experiments,
    find,
    measured,
    override,
    present,
    read_run,
    short,
    sweep,
    write_up,
)


@dataclass(frozen=True)
class Run:
    """One run of an experiment: prints its row, and stores it with --output.

    Options are the fields of the experiment's configuration: `symnets run NAME --help` lists them.
    Without a name, the experiments are listed.

    Example:
        symnets run jamming_spheres --seed 3 --output results/mine
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """An experiment of symnets, or the import path of a module of your own."""
    output: Path | None = None
    """Directory for the run; if it holds this run already, its row is shown and nothing computed."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Run":
        """The command with the options of the experiment that is named first."""
        asks = bool({"-h", "--help"} & set(arguments))
        if not arguments or (arguments[0].startswith("-") and not asks):
            known = "".join(f"\n  {name}: {line}" for name, line in experiments().items())
            raise ValueError(f"name an experiment first, such as `symnets run NAME`. There are:{known}")
        if arguments[0].startswith("-"):
            return parse(cls, "run", arguments)
        config = find(arguments[0]).Config
        options = Annotated[config, tyro.conf.arg(name="")]
        settings = [("settings", options, field(kw_only=True))]
        command = make_dataclass("Run", settings, bases=(cls,), frozen=True)
        command.__doc__ = cls.__doc__
        # Alone, because tyro's help leaves out what is given already.
        return parse(command, "run", ["--help"] if asks else arguments)

    def run(self) -> int:
        """Run, print the row, store it; 1 if the run failed."""
        experiment, config = find(self.name), getattr(self, "settings")  # noqa: B009
        with TemporaryDirectory() as temporary:
            directory = self.output or Path(temporary)
            table = sweep(experiment, [config], directory, executor=Serial(), retry_failed=True)
            (held,) = [read_run(directory / name) for name in table.index]
        shown = Table("", "", show_header=False)
        for name, value in (held.config | held.row | {"seconds": held.seconds}).items():
            shown.add_row(name, Text(short(value)))
        console = Console()
        console.print(f"{held.experiment} {held.hash}", soft_wrap=True, highlight=False, style="bold")
        console.print(shown)
        if self.output is not None:
            console.print(f"kept in {self.output / held.hash}", soft_wrap=True, highlight=False)
        if held.error is not None:
            Console(stderr=True).print(Text(held.error, style="red"), soft_wrap=True)
            return 1
        return 0


@dataclass(frozen=True)
class Sweep:
    """Run an experiment on its grid, then draw its figure and compare it with what was published.

    What the output directory holds already is not run again: after Ctrl-C, or a power cut, the same
    command goes on. Several may run at once, on one machine or on many that share the directory, and
    share the work. A run that raises an exception is recorded with it and does not stop the others; the
    exit status is then 1, after Ctrl-C 130.

    Example:
        symnets sweep jamming_spheres --preset quick --output results/spheres
        symnets sweep jamming_plane --set seed=0,1 --set width=8,10
    """

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """An experiment of symnets, or the import path of a module of your own."""
    preset: str = "quick"
    """Which grid: quick takes at most five minutes on two cores, paper is the published one."""
    settings: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", metavar="FIELD=VALUE,...")
    ] = ()
    """Values of a field of the configuration, in place of those of the preset; may be given again for
    another field."""
    output: Path | None = None
    """Directory for runs, figure and table; by default results/NAME-PRESET, followed by what is set."""
    executor: str = "local"
    """local (processes here), serial (no processes, for debugging) or dask://HOST:PORT."""
    workers: int | None = None
    """Processes, with local; by default one a core."""
    retry_failed: bool = False
    """Run those again that raised an exception."""

    def run(self) -> int:
        """Sweep, then write figure, table and findings; 1 if runs failed, 130 after Ctrl-C."""
        experiment = find(self.name)
        if self.preset not in experiment.PRESETS:
            raise ValueError(
                f"{self.name} has no preset {self.preset!r}; {did_you_mean(self.preset, experiment.PRESETS)}"
            )
        configs = override(experiment.PRESETS[self.preset], self.settings)
        # Another grid has its own figure, so its own directory.
        said = [re.sub(r"[^\w.,=+-]", "_", setting) for setting in self.settings]
        directory = self.output or Path("results") / "-".join([self.name, self.preset, *said])
        try:
            with executor(self.executor, self.workers) as where:
                sweep(experiment, configs, directory, executor=where, retry_failed=self.retry_failed)
        except KeyboardInterrupt:
            grid = {name for batch in batches(experiment, configs) for name in batch.hashes}
            done = len(grid & present(directory)) if directory.is_dir() else 0
            Console(stderr=True).print(
                f"interrupted; {done} of {len(grid)} runs are kept in {directory}. "
                "The same command goes on from there.",
                soft_wrap=True,
                highlight=False,
            )
            return 130
        return tell(write_up(experiment, directory))


def tell(written: WriteUp) -> int:
    """Prints findings, failures and where things are; 1 if runs failed."""
    console = Console()
    if written.findings:
        console.print(findings_table(written.findings))
    for name, error in list(written.failed["error"].items())[:5]:
        console.print(Text(f"{name} failed: {str(error).partition(chr(10))[0]}", style="red"), soft_wrap=True)
    if n := len(written.failed):
        console.print(
            f"{n} of {len(written.table)} runs failed; their errors are in the table", highlight=False
        )
    for path in written.files:
        console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    return 1 if n else 0


def findings_table(findings: Sequence[Finding]) -> Table:
    """What was measured beside what was published."""
    table = Table("", "measured", "published", "band", "agrees")
    for found in findings:
        verdict = Text("yes", style="green") if found.agrees else Text("NO", style="red")
        number, where = measured(found.measured, found.error), band(found.low, found.high)
        table.add_row(Text(found.quantity), number, Text(found.published), where, verdict)
    return table
