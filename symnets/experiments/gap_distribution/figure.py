"""The figure: distributions of overlaps and of gaps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets.experiments.experiment import Arrays
from symnets.experiments.gap_distribution.exponents import GAMMA, STATES, THETA, samples
from symnets.report.power_law import PowerLaw
from symnets.report.published import draw_published_exponent
from symnets.report.style import COLOURS, FAINT, row_of_panels, style


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Densities in logarithmic bins, and the decompressions they come from."""
    made, (path, overlaps, gaps) = row_of_panels(3)
    _draw_paths(path, table, arrays)
    for (state, words), colour in zip(STATES.items(), COLOURS, strict=False):
        if (s := samples(table, arrays, state)) is None:
            continue
        last = state == "verge"
        _draw(overlaps, s.overlaps, s.theta(), words, colour, (0.3, *THETA) if last else None)
        _draw(gaps, s.gaps, s.gamma(), words, colour, (-0.2, -GAMMA[1], -GAMMA[0]) if last else None)
    overlaps.set(title="Overlaps", xlabel="Δ / mean overlap", ylabel="$P_+$")
    gaps.set(title="Gaps", xlabel="-Δ", ylabel="$P_-$")
    for axes in (overlaps, gaps):
        axes.set(xscale="log", yscale="log")
        axes.legend(loc="lower left")
    return made


def _draw(
    axes: Axes,
    values: Sequence[ndarray],
    fit: PowerLaw | None,
    words: str,
    colour: str,
    published: tuple[float, float, float] | None,
) -> None:
    pooled = np.concatenate(list(values))
    edges = np.geomspace(1e-3, max(pooled.max(), 1), 25)
    counts, _ = np.histogram(pooled, edges)
    shown = counts > 0
    density = counts / np.diff(edges) / len(pooled)
    middle = np.sqrt(edges[1:] * edges[:-1])
    error = density / np.sqrt(np.maximum(counts, 1))
    axes.errorbar(
        middle[shown], density[shown], error[shown], fmt="o", color=colour, markersize=3, label=words
    )
    if fit is None:
        return
    fit.draw(axes, "fit", color=colour)
    if published is not None:
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
    """Loss of the minima against the patterns that are left a weight; the verge hollow."""
    for name, n_weights in zip(table.index, table["n_weights"].to_numpy(), strict=True):
        found = arrays(str(name))
        if "path_n" in found:
            axes.plot(found["path_n"] / n_weights, found["path_loss"], "-", color=FAINT, linewidth=0.8)
            axes.plot(
                found["path_n"][-1] / n_weights, found["path_loss"][-1], "o", color=COLOURS[0], markersize=4
            )
    some = table.dropna(subset=["verge_loss"])
    x = some["verge_n_left"].to_numpy(dtype=float) / some["n_weights"].to_numpy(dtype=float)
    axes.plot(x, some["verge_loss"].to_numpy(dtype=float), "o", color=COLOURS[1], markersize=4)
    axes.set(title="Decompression", xlabel="patterns left / $N$", ylabel="loss", yscale="log")
