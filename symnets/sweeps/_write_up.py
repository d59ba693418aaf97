"""The write-up of a sweep: its figure, table and findings, beside its runs."""

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from symnets.report import save_figure, write
from symnets.sweeps._experiment import Arrays, Experiment, Finding
from symnets.sweeps._find import error_line, name_of
from symnets.sweeps._table import Table, outdated, outdated_note, split_failed, write_table

FIGURE, TABLE, FINDINGS = "figure", "table.csv", "findings.json"
"""Files that `write_up` writes beside the runs, the figure as .png and .svg."""


@dataclass(frozen=True)
class WriteUp:
    """The files of a write-up and their content.

    Attributes:
        table: all runs, failed ones too.
        findings: findings from the runs that did not fail.
        files: paths of the files, which were written unless there are `errors`.
        note: note on runs that were made by other code than the present code; None if there are none.
        errors: one for each file that could not be written.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    note: str | None = None
    errors: Sequence[OSError] = ()

    @property
    def failed(self) -> pd.DataFrame:
        """The runs that raised an exception."""
        return split_failed(self.table)[1]


def write_up(experiment: Experiment, directory: str | Path, output: str | Path | None = None) -> WriteUp:
    """Writes table.csv of all runs, and figure.png, figure.svg and findings.json of those that did not fail.

    Args:
        experiment: the module of the experiment.
        directory: directory that contains the runs.
        output: folder for the files; by default the directory of the runs.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: it contains no run of this experiment, or a damaged one; or `findings` or `figure` raised
            an exception, even without the runs that were made by other code.
    """
    directory, name = Path(directory), name_of(experiment)
    table, arrays = Table.load(directory, name), Table.arrays(directory)
    if table.empty:
        raise ValueError(f"{directory}: expected runs of {name}, found none; make them with `symnets sweep`")
    folder, errors = Path(output or directory), []
    with _collected(errors):
        write_table(table, folder / TABLE)
    succeeded, failed = split_failed(table)
    note = outdated_note(table)
    if succeeded.empty:
        return WriteUp(table, (), (folder / TABLE,), note, errors)
    findings, figure, left_out = _conclude(experiment, succeeded, arrays)
    note = "; ".join(filter(None, [note, left_out])) or None
    written = {
        "experiment": name,
        "about": inspect.getdoc(experiment) or "",
        "runs": len(table),
        "failed": len(failed),
        "seconds": float(table["seconds"].to_numpy().sum()),
        "findings": [finding_as_json(finding) for finding in findings],
    }
    with _collected(errors):
        write(folder / FINDINGS, json.dumps(written, indent=1).encode())
    with _collected(errors):
        save_figure(figure, folder / FIGURE)
    files = tuple(folder / name for name in (f"{FIGURE}.png", f"{FIGURE}.svg", TABLE, FINDINGS))
    return WriteUp(table, findings, files, note, errors)


@contextmanager
def _collected(errors: list[OSError]) -> Iterator[None]:
    """Context that appends an OSError to a list, so that the other files are written all the same."""
    try:
        yield
    except OSError as error:
        errors.append(error)


def _conclude(
    experiment: Experiment, runs: pd.DataFrame, arrays: Arrays
) -> tuple[tuple[Finding, ...], Figure, str | None]:
    """Findings and figure of the runs, and a note if runs that were made by other code were left out."""
    current = runs.loc[~(outdated(runs) | runs["code_hash"].isna()).to_numpy()]
    left_out = None
    try:
        try:
            return tuple(experiment.findings(runs, arrays)), experiment.figure(runs, arrays), None
        except Exception as error:
            if len(current) in (0, len(runs)):
                raise
            left_out = f"they are in the table, not in findings and figure: {error_line(error)}"
        return tuple(experiment.findings(current, arrays)), experiment.figure(current, arrays), left_out
    except Exception as error:  # the experiment's code may raise anything
        raise ValueError(
            f"{name_of(experiment)}: the table is written, but findings or figure cannot be made: "
            f"{error_line(error)}"
        ) from error


def finding_as_json(finding: Finding) -> dict[str, float | str | bool | None]:
    """A finding as findings.json holds it, with plain Python numbers."""
    value, error = finding.measured
    return {
        "quantity": finding.quantity,
        "measured": float(value),
        "error": None if error is None else float(error),
        "published": finding.published,
        "low": float(finding.low),
        "high": float(finding.high),
        "agrees": finding.agrees,
    }
