"""Reports as self-contained HTML pages: sections of text, named values, tables and figures."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import jinja2
from matplotlib.figure import Figure

from symnets.report._formulas import with_formulas
from symnets.report._style import png, write


def three_digits(value: float) -> str:
    """A number with three significant digits, without exponent where possible: 0.0123, 1.23, 12.3, 1,234."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:#.3g}"


@dataclass(frozen=True)
class Facts:
    """A few named values in large type, such as `{"Force RMSE": "31 meV/Å"}`."""

    kind: ClassVar = "facts"
    values: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """A table; cells are formatted by `str`, and columns of numbers are right-aligned.

    Raises:
        ValueError: a row is longer or shorter than the header.
    """

    kind: ClassVar = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"Table: expected rows of {len(self.header)} cells, got {list(row)}")

    @cached_property
    def numeric(self) -> list[bool]:
        """Columns in which every cell reads as a number."""
        if not self.rows:
            return [False] * len(self.header)
        return [all(_is_number(cell) for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Picture:
    """A figure, embedded as PNG; the caption is also the alternative text of the image."""

    kind: ClassVar = "picture"
    figure: Figure
    caption: str

    @cached_property
    def png(self) -> bytes:
        """The PNG file."""
        return png(self.figure)

    @property
    def base64(self) -> str:
        """The PNG file in base64."""
        return b64encode(self.png).decode("ascii")

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels."""
        return round(100 * self.figure.get_figwidth())


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs (plain text with formulas `$...$`), facts, tables and pictures below it."""

    heading: str
    blocks: Sequence[str | Facts | Table | Picture]

    def html(self) -> str:
        """The section as HTML."""
        page = _template().make_module({"title": "", "lead": "", "sections": ()})
        return str(page.render_section(self))  # pyright: ignore[reportAttributeAccessIssue]


def html_report(path: str | Path, title: str, sections: Sequence[Section], *, lead: str = "") -> Path:
    """Writes a self-contained HTML page, atomically; all text in it is escaped.

    Args:
        path: file to write; its folder is made if necessary.
        title: heading of the page and title of the browser tab.
        sections: content of the page, in order.
        lead: one or two sentences below the title.

    Returns:
        The path.
    """
    page = _template().render(title=title, sections=sections, lead=lead)
    return write(path, page.encode("utf-8"))


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["formulas"] = with_formulas
    return environment.get_template("report.html.jinja")


def _is_number(cell: object) -> bool:
    try:
        float(str(cell).replace(",", ""))
    except ValueError:
        return False
    return True
