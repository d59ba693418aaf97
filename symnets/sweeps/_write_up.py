"""The write-up of a sweep: its figure, table and findings, beside its runs."""

import inspect
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from symnets.report import save_figure, write
from symnets.sweeps._experiment import Experiment, Finding
from symnets.sweeps._find import name_of
from symnets.sweeps._page import FIGURE, FINDINGS, TABLE, finding_as_json
from symnets.sweeps._table import Table, split_failed, write_table


@dataclass(frozen=True)
class WriteUp:
    """The files of a write-up and their content.

    Attributes:
        table: all runs, failed ones too.
        findings: from the runs that did not fail.
        files: that were written.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that raised an exception."""
        return split_failed(self.table)[1]


def write_up(experiment: Experiment, directory: str | Path) -> WriteUp:
    """Writes table.csv of all runs, and figure.png, figure.svg and findings.json of those that did not fail.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it contains no run of this experiment, or a damaged one.
    """
    directory, name = Path(directory), name_of(experiment)
    table, arrays = Table.load(directory, name), Table.arrays(directory)
    if table.empty:
        raise ValueError(f"{directory}: expected runs of {name}, found none; make them with `symnets sweep`")
    write_table(table, directory / TABLE)
    succeeded, failed = split_failed(table)
    if succeeded.empty:
        return WriteUp(table, (), (directory / TABLE,))
    findings = tuple(experiment.findings(succeeded, arrays))
    pictures = save_figure(experiment.figure(succeeded, arrays), directory / FIGURE)
    written = {
        "experiment": name,
        "about": inspect.getdoc(experiment) or "",
        "runs": len(table),
        "failed": len(failed),
        "seconds": float(table["seconds"].to_numpy().sum()),
        "findings": [finding_as_json(finding) for finding in findings],
    }
    write(directory / FINDINGS, json.dumps(written, indent=1).encode())
    return WriteUp(table, findings, (*pictures, directory / TABLE, directory / FINDINGS))
