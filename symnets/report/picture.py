"""Figures as PNG and SVG, and the way results reach the disk: whole or not at all."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from symnets.data.whole_file import whole_file
from symnets.report.style import style


def png(figure: Figure, *, dpi: float = 160) -> bytes:
    """The figure as a PNG image. Needs no display and no pyplot."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as an SVG drawing; text stays text, and the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "symnets"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 160) -> tuple[Path, Path]:
    """Writes the figure twice, as PNG and as SVG, each atomically.

    Args:
        figure: what to write.
        path: both names without their ending, which is added: "results/plane" gives "results/plane.png" and
            "results/plane.svg". A dot in the name is part of it.
        dpi: resolution of the PNG.

    Returns:
        Both paths, the PNG first.
    """
    path = Path(path)
    picture = write(path.with_name(f"{path.name}.png"), png(figure, dpi=dpi))
    return picture, write(path.with_name(f"{path.name}.svg"), svg(figure))


def save_picture(figure: Figure, path: str | Path, *, dpi: float = 160) -> Path:
    """Writes the figure as PNG, atomically, and makes its folder if need be."""
    return write(path, png(figure, dpi=dpi))


def write(path: str | Path, content: bytes) -> Path:
    """Writes a file under a temporary name and renames it: readers see it whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
