"""The page that `symnets report` writes: figures, findings and tables of all sweeps below a directory."""

import json
import os
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from symnets.estimates import Estimate
from symnets.report import Facts, Section, Table, html_report, three_digits
from symnets.sweeps._experiment import Finding
from symnets.sweeps._store import run_hashes
from symnets.sweeps._table import Table as Runs
from symnets.sweeps._table import outdated_note, split_failed
from symnets.sweeps._write_up import FIGURE, FINDINGS, finding_as_json

MAX_LINES = 20
"""Lines of a table on a page."""


@dataclass(frozen=True)
class PictureFile:
    """A PNG file, embedded in a page; the caption is also the alternative text of the image."""

    kind: ClassVar = "picture"
    path: Path
    caption: str

    @property
    def base64(self) -> str:
        """The file in base64."""
        return b64encode(self.path.read_bytes()).decode("ascii")

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels: the file has 160 pixels per inch, a page 100."""
        return round(int.from_bytes(self.path.read_bytes()[16:20]) / 1.6)


def experiment_page(directory: str | Path, path: str | Path | None = None) -> Path:
    """Writes one self-contained page on all sweeps below a directory.

    Figures and findings are those that `write_up` wrote; tables are made from the runs as they are now. No
    experiment is imported or executed.

    Args:
        directory: contains runs, itself or in folders at any depth.
        path: file of the page; report.html in the directory by default.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: there are no runs below it, or one is damaged.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: there is no such directory")
    sections, facts = [], {"Experiments": 0, "Runs": 0, "Failed": 0}
    for place in _directories_with_runs(directory):
        for name, table in Runs.load(place).groupby("experiment", sort=True):
            facts["Experiments"] += 1
            facts["Runs"] += len(table)
            facts["Failed"] += len(split_failed(table)[1])
            lines = table.dropna(axis="columns", how="all")
            sections.append(_section(place, str(name), lines, outdated_note(table)))
    if not sections:
        raise ValueError(f"{directory}: expected runs here or below, found none; `symnets sweep` makes them")
    short = Section("In short", [Facts({name: f"{value:,}" for name, value in facts.items()})])
    return html_report(path or directory / "report.html", "symnets experiments", [short, *sections])


def _directories_with_runs(directory: Path) -> Iterator[Path]:
    """Directories that contain runs, in order."""
    for path, folders, _ in os.walk(directory):
        runs = run_hashes(Path(path))
        if runs:
            yield Path(path)
        folders[:] = sorted(name for name in folders if name not in runs and not name.startswith("."))


def _section(place: Path, name: str, table: pd.DataFrame, note: str | None) -> Section:
    written = _read_write_up(place, name)
    # Docstrings may be Markdown, this page is not.
    about = written["about"].replace("**", "").replace("`", "")
    blocks: list[Any] = [paragraph.strip() for paragraph in about.split("\n\n") if paragraph.strip()]
    title = place.name if name in place.name else f"{name} in {place.name}"
    if written["findings"]:
        blocks.append(_findings(written["findings"]))
    if written["experiment"] and (place / f"{FIGURE}.png").is_file():
        blocks.append(PictureFile(place / f"{FIGURE}.png", f"{name}: {written['runs']} runs"))
        if written["runs"] != len(table):
            blocks.append(
                f"There are {len(table)} runs now: `symnets figure {name} {place}` redraws the figure."
            )
    else:
        blocks.append(f"No figure yet: `symnets figure {name} {place}` draws it.")
    if note:
        blocks.append(f"{note}.")
    if "error" in table:
        blocks.append(_failures(table))
    return Section(title, [*blocks, _runs(table)])


def _read_write_up(place: Path, name: str) -> dict[str, Any]:
    """The summary that `write_up` wrote for an experiment; empty fields if there is none."""
    empty = {"experiment": None, "about": "", "runs": 0, "findings": []}
    path = place / FINDINGS
    if not path.is_file():
        return empty
    try:
        written = json.loads(path.read_text("utf-8"))
        return empty | written if written["experiment"] == name else empty
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected what `symnets figure` writes: {error!r}; run it again") from error


def findings_table(findings: Iterable[Finding]) -> Table:
    """Table of measured numbers beside the published ones."""
    return _findings([finding_as_json(finding) for finding in findings])


def _findings(findings: list[dict[str, Any]]) -> Table:
    rows = [
        (
            finding["quantity"],
            str(Estimate(finding["measured"], finding["error"])),
            finding["published"],
            interval_text(finding["low"], finding["high"]),
            "yes" if finding["agrees"] else "NO",
        )
        for finding in findings
    ]
    return Table(("quantity", "measured", "published", "band", "agrees"), rows)


def interval_text(low: float, high: float) -> str:
    """The interval in which a measured number agrees with the published one, as text."""
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _failures(table: pd.DataFrame) -> Table:
    failed = split_failed(table)[1]["error"]
    rows = [(name, str(error).partition("\n")[0]) for name, error in zip(failed.index, failed, strict=True)]
    return Table(("failed run", "error"), rows[:MAX_LINES])


def _runs(table: pd.DataFrame) -> Table:
    columns = table.drop(columns=["experiment", "error", "commit", "code_hash"], errors="ignore")
    rows = [[_cell(value) for value in line] for line in columns.head(MAX_LINES).itertuples(index=False)]
    caption = (
        f"The first {MAX_LINES} of {len(table)} runs; all are in table.csv." if len(table) > MAX_LINES else ""
    )
    return Table(list(columns.columns), rows, caption)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return three_digits(value) if isinstance(value, float) else str(value)
