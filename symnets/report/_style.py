"""How symnets' figures look: a matplotlib style used through a context, never switched on globally.

Published values in a figure, drawn the same way everywhere: a dashed grey line and its band.

Figures as PNG and SVG, and the way results reach the disk: whole or not at all.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from symnets.files import whole_file

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out, it fades on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT = "#22272e", "#8c959f"

_STYLE: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.formatter.useoffset": False,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


@contextmanager
def style() -> Iterator[None]:
    """The style of symnets' figures, as a context or a decorator; matplotlib's settings return afterwards.

    Example:
        >>> from matplotlib.figure import Figure
        >>> with style():
        ...     figure = Figure(figsize=(4, 3), layout="constrained")
    """
    with matplotlib.rc_context(_STYLE):
        yield


def colors(n: int) -> Sequence[str]:
    """n distinct colours: the palette, or beyond its length an even walk through viridis."""
    if n <= len(COLORS):
        return COLORS[:n]
    walk = matplotlib.colormaps["viridis"]
    return [to_hex(walk(i / (n - 1))) for i in range(n)]


def row_of_panels(n: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure of n panels side by side, 3.9 x 3.3 inches each."""
    figure = Figure(figsize=(3.9 * n, 3.3), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)  # pyright: ignore
    return figure, figure.subplots(1, n, squeeze=False)[0]


def logarithmic(axes: Axes) -> None:
    """Logarithmic vertical axis with plain numbers at 1, 2 and 5 of each decade."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


_LINE = {"color": FAINT, "linestyle": "--", "linewidth": 1.2, "zorder": 1}
_BAND = {"color": FAINT, "alpha": 0.18, "linewidth": 0, "zorder": 0}


def draw_published(
    axes: Axes,
    value: float | None = None,
    band: tuple[float, float] | None = None,
    label: str = "published",
    *,
    along: Literal["y", "x"] = "y",
) -> None:
    """Draws a published number across the panel, its band behind it, and one entry in the legend.

    Args:
        axes: where to draw.
        value: the number; None for a band alone.
        band: from where to where results count as agreeing.
        label: in the legend; the source belongs here, such as "O'Hern et al. 2003".
        along: the axis that the number is read on: "y" gives a horizontal line, "x" a vertical one.

    Raises:
        ValueError: neither value nor band.
    """
    if value is None and band is None:
        raise ValueError("draw_published: expected a value, a band, or both, got neither")
    line, span = (axes.axhline, axes.axhspan) if along == "y" else (axes.axvline, axes.axvspan)
    if band is not None:
        span(*band, label="_" if value is not None else label, **_BAND)
    if value is not None:
        line(value, label=label, **_LINE)


def draw_published_exponent(
    axes: Axes,
    exponent: float,
    *,
    through: tuple[float, float],
    between: tuple[float, float],
    band: tuple[float, float] | None = None,
    label: str = "published",
) -> None:
    """Draws a power law of a published exponent through a point; other exponents of the band fan out from it.

    Args:
        axes: with two logarithmic scales, where the law is straight.
        exponent: slope of log y against log x.
        through: the point (x, y) that the law passes: an exponent has no height of its own.
        between: from which x to which.
        band: smallest and largest exponent that count as agreeing.
        label: in the legend, with the exponent and its source.
    """
    x = np.geomspace(*between, 50)
    ratio = x / through[0]
    if band is not None:
        axes.fill_between(x, through[1] * ratio ** band[0], through[1] * ratio ** band[1], **_BAND)
    axes.plot(x, through[1] * ratio**exponent, label=label, **_LINE)


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
