"""Published values in a figure, drawn the same way everywhere: a dashed grey line and its band."""

from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from symnets.report.style import FAINT

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
