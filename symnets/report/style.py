"""How symnets' figures look: a matplotlib style used through a context, never switched on globally."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is left out, it fades on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
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
    "axes.prop_cycle": cycler(color=COLOURS),
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


def colours(n: int) -> Sequence[str]:
    """n distinct colours: the palette, or beyond its length an even walk through viridis."""
    if n <= len(COLOURS):
        return COLOURS[:n]
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
