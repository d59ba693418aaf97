"""`symnets sweep`: an experiment on a grid of configurations."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from symnets.experiments.batches import batches
from symnets.experiments.executors import executor
from symnets.experiments.experiment import Finding
from symnets.experiments.find import find
from symnets.experiments.override import override
from symnets.experiments.store import present
from symnets.experiments.sweep import sweep
from symnets.experiments.write_up import write_up
from symnets.experiments.written import WriteUp
from symnets.report.experiment_page import band, measured


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
            known = list(experiment.PRESETS)
            (near,) = difflib.get_close_matches(self.preset, known, n=1, cutoff=0.0)
            raise ValueError(
                f"{self.name} has no preset {self.preset!r}; did you mean {near!r}? Valid: {known}"
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
