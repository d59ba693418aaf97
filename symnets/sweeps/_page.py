"""The page that `symnets report` writes: the figures, findings and tables of all sweeps below a directory."""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from symnets.report import Facts, Section, Table, html_report, three_digits
from symnets.sweeps._experiment import Finding
from symnets.sweeps._store import present
from symnets.sweeps._table import Table as Runs
from symnets.sweeps._table import split_failed

FIGURE, TABLE, FINDINGS = "figure", "table.csv", "findings.json"
"""Files that `write_up` leaves beside the runs, the figure as .png and .svg."""
LONGEST = 20
"""Lines of a table that a page shows."""


@dataclass(frozen=True)
class Drawing:
    """A PNG file, embedded; the caption is also its text for readers who cannot see it."""

    path: Path
    caption: str

    def html(self) -> str:
        """The block as HTML."""
        content, caption = self.path.read_bytes(), escape(self.caption)
        image = base64.b64encode(content).decode("ascii")
        width = round(int.from_bytes(content[16:20]) / 1.6)  # its pixels, of which `png` draws 160 an inch
        return (
            f'<figure><img src="data:image/png;base64,{image}" alt="{caption}" style="width:{width}px">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


def experiment_page(directory: str | Path, path: str | Path | None = None) -> Path:
    """Gathers what sweeps below a directory have left in one self-contained page.

    Figures and findings are embedded as `write_up` left them, and tables made of the runs as they are now.
    Nothing of what the directory names is imported or executed.

    Args:
        directory: holds directories of runs, at any depth, or runs itself.
        path: of the page; report.html in the directory by default.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: there are no runs below it, or a damaged one.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: there is no such directory")
    sections, facts = [], {"Experiments": 0, "Runs": 0, "Failed": 0}
    for place in _places(directory):
        for name, table in Runs.load(place).groupby("experiment", sort=True):
            facts["Experiments"] += 1
            facts["Runs"] += len(table)
            facts["Failed"] += len(split_failed(table)[1])
            sections.append(_section(place, str(name), table.dropna(axis="columns", how="all")))
    if not sections:
        raise ValueError(f"{directory}: expected runs here or below, found none; `symnets sweep` makes them")
    short = Section("In short", [Facts({name: f"{value:,}" for name, value in facts.items()})])
    return html_report(path or directory / "report.html", "symnets experiments", [short, *sections])


def _places(directory: Path) -> Iterator[Path]:
    """Directories that hold runs, in order; runs hold no others."""
    for here, below, _ in os.walk(directory):
        runs = present(Path(here))
        if runs:
            yield Path(here)
        below[:] = sorted(name for name in below if name not in runs and not name.startswith("."))


def _section(place: Path, name: str, table: pd.DataFrame) -> Section:
    said = _said(place, name)
    # Docstrings may be Markdown, this page is not.
    about = said["about"].replace("**", "").replace("`", "")
    blocks: list[Any] = [paragraph.strip() for paragraph in about.split("\n\n") if paragraph.strip()]
    title = place.name if name in place.name else f"{name} in {place.name}"
    if said["findings"]:
        blocks.append(_findings(said["findings"]))
    if said["experiment"] and (place / f"{FIGURE}.png").is_file():
        blocks.append(Drawing(place / f"{FIGURE}.png", f"{name}: {said['runs']} runs"))
        if said["runs"] != len(table):
            blocks.append(f"There are {len(table)} runs by now: `symnets figure {name} {place}` draws anew.")
    else:
        blocks.append(f"No figure yet: `symnets figure {name} {place}` draws it.")
    if "error" in table:
        blocks.append(_failures(table))
    return Section(title, [*blocks, _runs(table)])


def _said(place: Path, name: str) -> dict[str, Any]:
    """What `write_up` left of an experiment."""
    nothing = {"experiment": None, "about": "", "runs": 0, "findings": []}
    path = place / FINDINGS
    if not path.is_file():
        return nothing
    try:
        said = json.loads(path.read_text("utf-8"))
        return nothing | said if said["experiment"] == name else nothing
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not what `symnets figure` writes: {error!r}; run it again") from error


def findings_table(findings: Iterable[Finding]) -> Table:
    """What was measured beside what was published."""
    return _findings([{**asdict(found), "agrees": found.agrees} for found in findings])


def _findings(findings: list[dict[str, Any]]) -> Table:
    rows = [
        (
            found["quantity"],
            measured(found["measured"], found["error"]),
            found["published"],
            band(found["low"], found["high"]),
            "yes" if found["agrees"] else "NO",
        )
        for found in findings
    ]
    return Table(("quantity", "measured", "published", "band", "agrees"), rows)


def measured(value: float, error: float | None) -> str:
    """A number with its standard error."""
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"


def band(low: float, high: float) -> str:
    """Where a number must lie to agree."""
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _failures(table: pd.DataFrame) -> Table:
    failed = split_failed(table)[1]["error"]
    rows = [(name, str(error).partition("\n")[0]) for name, error in zip(failed.index, failed, strict=True)]
    return Table(("failed run", "error"), rows[:LONGEST])


def _runs(table: pd.DataFrame) -> Table:
    shown = table.drop(columns=["experiment", "error", "commit"], errors="ignore")
    rows = [[_cell(value) for value in line] for line in shown.head(LONGEST).itertuples(index=False)]
    caption = (
        f"The first {LONGEST} of {len(table)} runs; all are in table.csv." if len(table) > LONGEST else ""
    )
    return Table(list(shown.columns), rows, caption)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return three_digits(value) if isinstance(value, float) else str(value)
