"""The figure: the way down, distributions of overlaps and of gaps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.experiments.experiment import Arrays
from symnets.experiments.gap_distribution.exponents import GAMMA, NEAR, THETA, samples
from symnets.report.power_law import PowerLaw
from symnets.report.published import draw_published, draw_published_exponent
from symnets.report.style import COLOURS, FAINT, row_of_panels, style


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Losses on the way down, and densities in logarithmic bins with their laws."""
    made, (path, overlaps, gaps) = row_of_panels(3)
    _draw_paths(path, table, arrays)
    if (s := samples(table, arrays)) is not None:
        _draw(overlaps, s.overlaps, s.theta(), COLOURS[0], (0.3, *THETA))
        _draw(gaps, s.gaps, s.gamma(), COLOURS[1], (-0.2, -GAMMA[1], -GAMMA[0]))
    overlaps.set(title="Overlaps", xlabel="Δ / mean overlap", ylabel="$P_+$")
    gaps.set(title="Gaps", xlabel="-Δ", ylabel="$P_-$")
    for axes in (overlaps, gaps):
        axes.set(xscale="log", yscale="log")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left")
    return made


def _draw(
    axes: Axes,
    values: Sequence[ndarray],
    fit: PowerLaw | None,
    colour: str,
    published: tuple[float, float, float],
) -> None:
    pooled = np.concatenate(list(values))
    edges = np.geomspace(1e-3, max(pooled.max(), 1), 25)
    counts, _ = np.histogram(pooled, edges)
    shown = counts > 0
    density = counts / np.diff(edges) / len(pooled)
    error = density / np.sqrt(np.maximum(counts, 1))
    middle = np.sqrt(edges[1:] * edges[:-1])
    axes.errorbar(middle[shown], density[shown], error[shown], fmt="o", color=colour, markersize=3)
    if fit is None:
        return
    fit.draw(axes, "fit", color=colour)
    exponent, *band = published
    at = float(np.sqrt(fit.x_range[0] * fit.x_range[1]))
    draw_published_exponent(
        axes,
        exponent,
        through=(at, float(fit(at))),
        between=fit.x_range,
        band=(band[0], band[1]),
        label=f"{exponent:g}, Geiger et al. 2019",
    )


def _draw_paths(axes: Axes, table: pd.DataFrame, arrays: Arrays) -> None:
    """Loss of the minima against the patterns that are left a weight, the last marked."""
    for name, n_weights in zip(table.index, table["n_weights"].to_numpy(), strict=True):
        found = arrays(str(name))
        if "path_n" in found:
            x, y = found["path_n"] / n_weights, found["path_loss"]
            axes.plot(x, y, "-", color=FAINT, linewidth=0.8)
            axes.plot(x[-1], y[-1], "o", color=COLOURS[0] if y[-1] < NEAR else FAINT, markersize=4)
    draw_published(axes, None, (axes.get_ylim()[0], NEAR), "at jamming")
    axes.set(title="Decompression", xlabel="patterns left / $N$", ylabel="loss", yscale="log")
    axes.legend(loc="upper left")
