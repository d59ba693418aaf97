"""Ticks of logarithmic axes at the values that were measured."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy import ndarray


def mark_values(axes: Axes, values: Sequence[float] | ndarray) -> None:
    """Marks values on a logarithmic horizontal axis, as plain numbers, instead of powers of ten.

    Args:
        axes: the axes.
        values: the values, such as measured widths; few enough for their labels to fit side by side.
    """
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
