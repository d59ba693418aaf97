"""The figure: spectra in three phases, negative eigenvalues against depth, the √L law."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.experiments.experiment import Arrays
from symnets.experiments.hessian_phases.findings import (
    BAND,
    at_minimum,
    by_depth,
    jammed,
    near_jamming,
    root_law,
    under,
)
from symnets.report.published import draw_published, draw_published_exponent
from symnets.report.style import COLOURS, row_of_panels, style

_SOURCE = "Geiger et al. 2019"


@style()
def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Five panels; spectra are those of the depth that has runs in all three phases."""
    made, (over, jamming, beyond, negative, law) = row_of_panels(5)
    depths = dict(by_depth(table))
    chosen = next(
        (d for d, runs in depths.items() if d > 1 and len(near_jamming(runs))), max(depths, default=0)
    )
    runs = depths.get(chosen, table)
    phases = (
        (over, "Over-parametrised", runs.query("verdict == 'SAT'").sort_values("hinge_loss")),
        (jamming, "Jamming", near_jamming(runs).sort_values("hinge_loss")),
        (beyond, "Under-parametrised", under(runs)),
    )
    for axes, title, some in phases:
        _draw_spectra(axes, some, arrays)
        axes.set_title(f"{title}, {chosen} layers")
    _draw_negative(negative, depths)
    _draw_law(law, depths, arrays)
    return made


def _draw_spectra(axes: Axes, runs: pd.DataFrame, arrays: Arrays) -> None:
    """Cumulative spectra of the first run, on an axis that is linear about 0 and logarithmic beyond.

    A cumulative spectrum needs no bins; a δ at 0 is a vertical step of its weight.
    """
    axes.set(xlabel="eigenvalue", ylabel="share of eigenvalues below")
    if not len(runs):
        return
    run, found = runs.iloc[0], arrays(str(runs.index[0]))
    below = (np.arange(len(found["h"])) + 0.5) / len(found["h"])
    for name, label, colour in (
        ("h", "$H$", COLOURS[6]),
        ("h0", "$H_0$", COLOURS[0]),
        ("hp", "$H_p$", COLOURS[1]),
    ):
        line = "--" if name == "h0" else "-"
        axes.step(found[name], below, line, color=colour, label=label, where="mid")
    weight = 1 - run["n_unsatisfied"] / run["n_params"]
    if 0 < weight < 1:
        draw_published(axes, weight, label=r"$1 - N_\Delta/N$")
    axes.set_xscale("symlog", linthresh=1e-4, linscale=0.5)
    axes.set_xlim(-1, 1e3)
    axes.set_xticks([-1, -1e-2, 0, 1e-2, 1, 1e2])
    axes.text(
        0.03,
        0.97,
        f"$P/N$ = {run['ratio']:.1f}\nloss {run['hinge_loss']:.1e}",
        transform=axes.transAxes,
        va="top",
    )
    axes.legend(loc="lower right")


def _draw_negative(axes: Axes, depths: dict[int, pd.DataFrame]) -> None:
    draw_published(axes, 0.5, BAND, f"1/2, {_SOURCE}")
    for depth, runs in depths.items():
        some = at_minimum(runs)
        if not len(some):
            continue
        share = some["n_negative"] / some["n_params"]
        spread = np.linspace(-0.15, 0.15, len(some))
        axes.plot(depth + spread, share, "o", color=COLOURS[0], markersize=3, alpha=0.6)
        if depth == 1:
            exact = some["width"].iloc[0] / some["n_params"].iloc[0]
            axes.plot([0.7, 1.3], [exact, exact], color=COLOURS[1], label="exact, $h/N$")
    axes.set(title="Negative eigenvalues of $H_p$", xlabel="hidden layers", ylabel="$N_-/N$", ylim=(0, 0.75))
    axes.set_xticks(list(depths))
    axes.legend(loc="upper left")


def _draw_law(axes: Axes, depths: dict[int, pd.DataFrame], arrays: Arrays) -> None:
    """Paths of decompressed nets, each to its jamming point."""
    drawn = {depth: runs for depth, runs in depths.items() if depth > 1}
    for (depth, runs), colour in zip(drawn.items(), COLOURS, strict=False):
        for name in jammed(runs).index:
            found = arrays(str(name))
            axes.plot(
                found["path_loss"], found["path_scale"], "o-", color=colour, markersize=3, lw=0.4, alpha=0.6
            )
        if (fit := root_law(runs, arrays)) is not None:
            fit.draw(axes, f"{depth} layers", color=colour)
            low, high = fit.x_range
            middle = float(np.sqrt(low * high))
            draw_published_exponent(
                axes,
                0.5,
                through=(middle, float(fit(middle))),
                between=(low, high),
                band=(0.4, 0.6),
                label=f"1/2, {_SOURCE}",
            )
    axes.set(title="Scale of $H_p$", xlabel="loss", ylabel=r"$|H_p|_F / \sqrt{N}$")
    axes.set(xscale="log", yscale="log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
