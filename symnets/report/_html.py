"""A report as one HTML page that needs nothing else: style, tables and pictures inside."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from symnets.report._style import png, write


@dataclass(frozen=True)
class Facts:
    """A few named values, set large, such as `{"Force RMSE": "31 meV/Å"}`."""

    values: Mapping[str, str]

    def html(self) -> str:
        """The block as HTML."""
        cells = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in self.values.items())
        return f'<dl class="facts">{"".join(cells)}</dl>'


@dataclass(frozen=True)
class Table:
    """A table; cells are shown as `str` gives them, and cells that read as numbers are set right."""

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def html(self) -> str:
        """The block as HTML.

        Raises:
            ValueError: a row is longer or shorter than the header.
        """
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"Table: expected rows of {len(self.header)} cells, got {list(row)}")
        kinds = [
            ' class="number"' if self.rows and all(_reads_as_number(cell) for cell in column) else ""
            for column in (zip(*self.rows, strict=True) if self.rows else [()] * len(self.header))
        ]
        head = "".join(
            f'<th scope="col"{kind}>{escape(str(name))}</th>'
            for name, kind in zip(self.header, kinds, strict=True)
        )
        body = "\n".join(
            "<tr>"
            + "".join(f"<td{kind}>{escape(str(cell))}</td>" for cell, kind in zip(row, kinds, strict=True))
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>\n{body}\n</tbody></table></div>"
        )


@dataclass(frozen=True)
class Picture:
    """A figure, embedded as PNG; the caption is also its text for readers who cannot see it."""

    figure: Figure
    caption: str

    def html(self) -> str:
        """The block as HTML."""
        image = base64.b64encode(png(self.figure)).decode("ascii")
        width = round(100 * self.figure.get_figwidth())
        caption = escape(self.caption)
        return (
            f'<figure><img src="data:image/png;base64,{image}" alt="{caption}" style="width:{width}px">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs (plain text), facts, tables and pictures."""

    heading: str
    blocks: Sequence[str | Facts | Table | Picture]

    def html(self) -> str:
        """The section as HTML."""
        blocks = (f"<p>{escape(b)}</p>" if isinstance(b, str) else b.html() for b in self.blocks)
        return f"<section><h2>{escape(self.heading)}</h2>\n" + "\n".join(blocks) + "\n</section>"


def html_report(path: str | Path, title: str, sections: Sequence[Section], *, lead: str = "") -> Path:
    """Writes a self-contained page, atomically; every text in it is escaped.

    Args:
        path: file to write; its folder is made if need be.
        title: heading of the page and of the browser's tab.
        sections: what the page says, in order.
        lead: a sentence or two below the title.
    """
    page = _PAGE.format(
        title=escape(title),
        style=_STYLE,
        lead=f'<p class="lead">{escape(lead)}</p>' if lead else "",
        body="\n".join(section.html() for section in sections),
    )
    return write(path, page.encode("utf-8"))


def _reads_as_number(cell: object) -> bool:
    try:
        float(str(cell).replace(",", ""))
    except ValueError:
        return False
    return True


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header><h1>{title}</h1>{lead}</header>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { --ink: #1f2328; --soft: #59636e; --line: #d8dee4; --page: #ffffff; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa4af; --line: #30363d; --page: #0f1318; --card: #171c23; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
p { max-width: 44rem; margin: .7rem 0; }
.lead { color: var(--soft); font-size: 1.08rem; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.1rem 0; }
.facts div { flex: 1 1 9rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .7rem .9rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: .1rem 0 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: 1.1rem 0; }
table { border-collapse: collapse; font-size: .94rem; }
caption { caption-side: bottom; text-align: left; color: var(--soft); font-size: .85rem; padding-top: .5rem; }
th, td { text-align: left; padding: .4rem 1.1rem .4rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .85rem; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.3rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: .5rem; padding: .6rem; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 44rem; margin-top: .5rem; }
"""
