"""`symnets figure`: the figure of a sweep, drawn anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from symnets.cli.sweep import tell
from symnets.experiments.find import find
from symnets.experiments.write_up import write_up


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
