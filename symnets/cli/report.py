"""`symnets report`: all sweeps below a directory on one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional

from symnets.report.experiment_page import experiment_page


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
