"""Curve of a quantity that was measured for several seeds, with a published exponent for comparison."""

from matplotlib.axes import Axes

from symnets.estimates import SeedCurve
from symnets.report._style import draw_published_exponent


def draw_seed_curve(
    axes: Axes,
    curve: SeedCurve,
    *,
    color: str,
    label: str,
    published: tuple[float, str] | None = None,
) -> None:
    """Draws means over seeds with their standard errors, on two logarithmic scales.

    Args:
        axes: the axes to draw on.
        curve: the quantity.
        color: colour of the curve.
        label: entry in the legend.
        published: exponent of a power law that is drawn through the last point, and its entry in the legend.
    """
    if not len(curve.values):
        return
    style = {"fmt": "o-", "capsize": 2, "markersize": 4, "color": color, "label": label}
    axes.errorbar(curve.x, curve.mean, curve.error, **style)
    axes.set(xscale="log", yscale="log")
    if published is not None and len(curve.x) > 1 and curve.mean[-1] > 0:
        last = float(curve.x[-1]), float(curve.mean[-1])
        draw_published_exponent(
            axes, published[0], through=last, between=(float(curve.x[0]), last[0]), label=published[1]
        )
