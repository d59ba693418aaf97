"""`symnets run`: one run of an experiment."""

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

from symnets.cli.parse import parse
from symnets.experiments.executors import Serial
from symnets.experiments.find import experiments, find
from symnets.experiments.store import read_run
from symnets.experiments.sweep import sweep
from symnets.experiments.watch import short


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
