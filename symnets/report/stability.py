"""D, G and R of a network, layer by layer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.observables.stability.result import Estimate, Stability
from symnets.report.style import COLOURS, FAINT, logarithmic, row_of_panels, style

_MOST_NAMES = 24  # below an axis
_PANELS = (
    ("D", "Deformations", "D, distance of τx and x"),
    ("G", "Noise", "G, distance of x + η and x"),
    ("R", "Relative stability", "R = D / G"),
)


@style()
def stability_figure(
    stability: Stability,
    baseline: Stability | None = None,
    *,
    label: str = "measured",
    baseline_label: str = "initial weights",
) -> Figure:
    """D, G and R over the layers in the order of execution, with their intervals, on logarithmic axes.

    What is undefined, or 0, has no mark.

    Args:
        stability: of a network.
        baseline: of another of the same layers, such as the network with its initial weights.
        label: of the network, in the legend; there is one only with a baseline.
        baseline_label: of the other.

    Raises:
        ValueError: the baseline has other layers.
    """
    if baseline is not None and baseline.layers != stability.layers:
        other = [name for name in baseline.layers if name not in stability.layers][:3]
        raise ValueError(
            f"baseline: expected the {len(stability.layers)} layers of the other network, got "
            f"{len(baseline.layers)}" + (f", among them {', '.join(other)}" if other else "")
        )
    figure, row = row_of_panels(len(_PANELS))
    for axes, (name, title, text) in zip(row, _PANELS, strict=True):
        if baseline is not None:
            _draw(axes, getattr(baseline, name), FAINT, baseline_label)
        _draw(axes, getattr(stability, name), COLOURS[0], label)
        _show_scale(axes)
        _name_layers(axes, stability.layers)
        axes.set(title=title, ylabel=text)
    row[-1].axhline(1.0, color=FAINT, linewidth=1, linestyle=":", zorder=0)  # f(x) = x
    if baseline is not None:
        row[0].legend(loc="best")
    return figure


def _draw(axes: Axes, estimate: Estimate, colour: str, label: str) -> None:
    place = np.arange(len(estimate.value))
    value = np.where(estimate.value > 0, estimate.value, np.nan)
    reach = np.stack((value - estimate.low, estimate.high - value))
    known = np.isfinite(reach).all(0)
    marker = "o" if len(place) <= 2 * _MOST_NAMES else ""
    axes.plot(place, value, color=colour, marker=marker, markersize=3.5, label=label)
    if len(place) == 1:
        axes.errorbar(place[known], value[known], reach[:, known].clip(0), color=colour, capsize=3)
    else:
        low, high = (np.where(known, end, np.nan) for end in (estimate.low, estimate.high))
        axes.fill_between(place, low, high, color=colour, alpha=0.25, linewidth=0)


def _show_scale(axes: Axes) -> None:
    """A logarithmic axis of at least a factor of two about what is drawn, if anything is."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", color=FAINT)
        return
    logarithmic(axes)
    if drawn.max() < 2 * drawn.min():
        axes.set_ylim(drawn.min() / 1.6, drawn.max() * 1.6)


def _name_layers(axes: Axes, layers: tuple[str, ...]) -> None:
    last = len(layers) - 1
    step = -(-len(layers) // _MOST_NAMES)
    # The output always, and no name that would run into it.
    shown = [place for place in range(0, last, step) if last - place >= step] + [last]
    axes.set_xticks(shown, [layers[place] for place in shown], rotation=90, fontsize=7)
    axes.set_xlim(-0.6, last + 0.6)
