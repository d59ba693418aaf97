"""Style of figures, panels, published values drawn for comparison, and atomic writing of figures."""

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

from symnets.estimates import PowerLaw
from symnets.files import whole_file

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of curves: the colour-blind safe palette of Okabe and Ito, without yellow (faint on white)."""
INK = "#22272e"
"""Colour of text."""
FAINT = "#8c959f"
"""Grey of axes, guides and published values."""

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
    """The style of symnets' figures, as a context manager or decorator that restores matplotlib's settings.

    Example:
        >>> from matplotlib.figure import Figure
        >>> with style():
        ...     figure = Figure(figsize=(4, 3), layout="constrained")
    """
    with matplotlib.rc_context(_STYLE):
        yield


def colors(n: int) -> Sequence[str]:
    """n distinct colours: from the palette, or equally spaced in viridis if the palette is too short."""
    if n <= len(COLORS):
        return COLORS[:n]
    viridis = matplotlib.colormaps["viridis"]
    return [to_hex(viridis(i / (n - 1))) for i in range(n)]


def row_of_panels(n: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure of n panels side by side, 3.9 x 3.3 inches each."""
    figure = Figure(figsize=(3.9 * n, 3.3), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)  # pyright: ignore
    return figure, figure.subplots(1, n, squeeze=False)[0]


def logarithmic(axes: Axes) -> None:
    """Makes the vertical axis logarithmic, with plain numbers at 1, 2 and 5 in each decade."""
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
    """Draws a published value as a dashed line with its band, and one entry in the legend.

    Args:
        axes: the axes to draw on.
        value: the published value; None for a band alone.
        band: range in which results count as agreeing.
        label: entry in the legend, with the source, such as "O'Hern et al. 2003".
        along: axis of the value: "y" gives a horizontal line, "x" a vertical one.

    Raises:
        ValueError: neither a value nor a band is given.
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
    """Draws a power law with a published exponent through a point, with a band of exponents that agree.

    Args:
        axes: axes with two logarithmic scales.
        exponent: slope of log y against log x.
        through: point (x, y) on the power law, which sets its prefactor.
        between: first and last x of the drawn line.
        band: smallest and largest exponent that count as agreeing.
        label: entry in the legend, with the exponent and its source.
    """
    x = np.geomspace(*between, 50)
    ratio = x / through[0]
    if band is not None:
        axes.fill_between(x, through[1] * ratio ** band[0], through[1] * ratio ** band[1], **_BAND)
    axes.plot(x, through[1] * ratio**exponent, label=label, **_LINE)


def draw_power_law(axes: Axes, law: PowerLaw, label: str = "", *, color: str = "#000000") -> None:
    """Draws a fitted power law over its fitted range, with "label: slope a ± error" in the legend."""
    low, high = law.x_range
    x_star = law.x_star.value
    near, far = sorted((abs(low - x_star), abs(high - x_star)))
    x = x_star + np.geomspace(near, far, 100) * (1 if low >= x_star else -1)
    text = f"{label}: slope {law}" if label else f"slope {law}"
    axes.plot(x, law(x), color=color, linewidth=1.4, label=text)


def png(figure: Figure, *, dpi: float = 160) -> bytes:
    """The figure as a PNG image, without a display or pyplot."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as an SVG drawing, with text as text; equal figures give equal bytes."""
    buffer = io.BytesIO()
    with style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "symnets"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 160) -> tuple[Path, Path]:
    """Writes the figure as PNG and as SVG, each atomically.

    Args:
        figure: the figure.
        path: path without suffix: "results/plane" gives "results/plane.png" and "results/plane.svg". A dot in
            the name is part of it.
        dpi: resolution of the PNG.

    Returns:
        Both paths, the PNG first.
    """
    path = Path(path)
    picture = write(path.with_name(f"{path.name}.png"), png(figure, dpi=dpi))
    return picture, write(path.with_name(f"{path.name}.svg"), svg(figure))


def save_picture(figure: Figure, path: str | Path, *, dpi: float = 160) -> Path:
    """Writes the figure as PNG, atomically; its folder is made if necessary."""
    return write(path, png(figure, dpi=dpi))


def write(path: str | Path, content: bytes) -> Path:
    """Writes a file atomically; its folder is made if necessary."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
