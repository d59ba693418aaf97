"""What was written of a sweep.

What a sweep leaves besides its runs: figure, table and findings.
"""

import inspect
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from symnets.report import save_figure, write
from symnets.sweeps._experiment import Experiment, Finding, name_of
from symnets.sweeps._page import FIGURE, FINDINGS, TABLE
from symnets.sweeps._table import Table, split_failed, write_table


@dataclass(frozen=True)
class WriteUp:
    """What was written, where, and what it says."""

    table: pd.DataFrame
    """All runs, failed ones too."""
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that raised an exception."""
        return split_failed(self.table)[1]


def write_up(experiment: Experiment, directory: str | Path) -> WriteUp:
    """Writes table.csv, and of the runs that did not fail figure.png, figure.svg and findings.json.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it holds no run of this experiment, or a damaged one.
    """
    directory, name = Path(directory), name_of(experiment)
    table, arrays = Table.load(directory, name), Table.arrays(directory)
    if table.empty:
        raise ValueError(f"{directory}: expected runs of {name}, found none; make them with `symnets sweep`")
    write_table(table, directory / TABLE)
    good, failed = split_failed(table)
    if good.empty:
        return WriteUp(table, (), (directory / TABLE,))
    findings = tuple(experiment.findings(good, arrays))
    pictures = save_figure(experiment.figure(good, arrays), directory / FIGURE)
    said = {
        "experiment": name,
        "about": inspect.getdoc(experiment) or "",
        "runs": len(table),
        "failed": len(failed),
        "seconds": float(table["seconds"].to_numpy().sum()),
        "findings": [_plain(finding) for finding in findings],
    }
    write(directory / FINDINGS, json.dumps(said, indent=1).encode())
    return WriteUp(table, findings, (*pictures, directory / TABLE, directory / FINDINGS))


def _plain(finding: Finding) -> dict[str, float | str | bool | None]:
    """As JSON has it; numbers may have been numpy's."""
    values = {k: v if v is None or isinstance(v, str) else float(v) for k, v in asdict(finding).items()}
    return {**values, "agrees": finding.agrees}
