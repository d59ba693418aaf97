"""Deformed images, as a network sees them.

D, G and R of a network, layer by layer.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator, Tensor

from symnets.diffeo import FoldingWarning, SineField
from symnets.observables import LayerEstimates, Stability
from symnets.report._style import COLORS, FAINT, logarithmic, row_of_panels, style

_SIDE = 1.25  # inches of an image


@style()
def deformed_samples(
    images: Float[Tensor, "n channels rows columns"],
    field: SineField,
    *,
    temperatures: Sequence[float] | None = None,
    deltas: Sequence[float] | None = None,
    generator: Generator,
) -> Figure:
    """A row for each image: as it is, then under its own deformation, stronger from column to column.

    Columns of a row differ in the strength alone: they are drawn from the same random numbers. Grey is
    scaled to the darkest and brightest value of each image as it is, whatever its normalisation. Titles tell
    how many of such deformations fold.

    Args:
        images: a few; of one channel or three, of other numbers the first channel is shown.
        field: of the deformations.
        temperatures: T of each column.
        deltas: root of the mean squared displacement in pixels, instead of temperatures.
        generator: source of the deformations.

    Raises:
        ValueError: both or neither of temperatures and deltas, or no image.
    """
    if (temperatures is None) == (deltas is None):
        raise ValueError("deformed_samples: expected either temperatures or deltas, one a column")
    if not len(images):
        raise ValueError("deformed_samples: expected at least one image, got none")
    if temperatures is None:
        temperatures = [field.temperature(delta) for delta in deltas or ()]
    images = images.detach().cpu()
    size = (_SIDE * (1 + len(temperatures)), _SIDE * len(images) * images.shape[2] / images.shape[3] + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(images), 1 + len(temperatures), squeeze=False)
    state = generator.get_state()
    columns = [("images", images)]
    for temperature in temperatures:
        generator.set_state(state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FoldingWarning)  # the title tells
            diffeo = field.sample(
                len(images), temperature=temperature, generator=generator, dtype=images.dtype, device="cpu"
            )
        columns.append((_title(field, temperature), diffeo.warp(images)))
    for place, (title, shown) in enumerate(columns):
        grid[0, place].set_title(title, fontsize=9, fontweight="normal", loc="center")
        for axes, image, original in zip(grid[:, place], shown, images, strict=True):
            _show(axes, image, original)
    return figure


def _title(field: SineField, temperature: float) -> str:
    folds = field.folding_probability(temperature)
    title = f"δ = {field.typical_displacement(temperature):.2g} px"
    return f"{title}\n{100 * folds:.0f} % fold" if folds >= 0.005 else title


def _show(axes: Axes, image: Tensor, original: Tensor) -> None:
    low, high = float(original.min()), float(original.max())
    scaled = ((image - low) / (high - low if high > low else 1.0)).clamp(0, 1)
    pixels: Any = scaled.movedim(0, -1).to(torch.float32).numpy()
    if pixels.shape[2] != 3:
        pixels = pixels[:, :, 0]
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()


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
        _draw(axes, getattr(stability, name), COLORS[0], label)
        _show_scale(axes)
        _name_layers(axes, stability.layers)
        axes.set(title=title, ylabel=text)
    row[-1].axhline(1.0, color=FAINT, linewidth=1, linestyle=":", zorder=0)  # f(x) = x
    if baseline is not None:
        row[0].legend(loc="best")
    return figure


def _draw(axes: Axes, estimate: LayerEstimates, colour: str, label: str) -> None:
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
