"""Figures of stability: D, G and R by layer, and samples of deformed images."""

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

_SIDE = 1.25  # width of an image in inches


@style()
def deformed_samples(
    images: Float[Tensor, "n channels rows columns"],
    field: SineField,
    *,
    temperatures: Sequence[float] | None = None,
    deltas: Sequence[float] | None = None,
    generator: Generator,
) -> Figure:
    """Figure of images under deformations of increasing strength: one row for each image.

    The columns of a row differ in the strength only, since they use the same random numbers. The grey scale
    of a row runs from the smallest to the largest value of its undeformed image. Titles give the displacement
    and the fraction of such deformations that fold.

    Args:
        images: a few images with one or three channels; with another number, the first channel is shown.
        field: the random deformations.
        temperatures: temperature T of each column.
        deltas: root mean square displacement of each column in pixels, in place of temperatures.
        generator: source of the random numbers.

    Raises:
        ValueError: temperatures and deltas are both given or both missing, or there is no image.
    """
    if (temperatures is None) == (deltas is None):
        raise ValueError("deformed_samples: expected one of temperatures and deltas, got both or neither")
    if not len(images):
        raise ValueError("deformed_samples: expected at least one image, got none")
    if temperatures is None:
        temperatures = [field.temperature(delta) for delta in deltas or ()]
    images = images.detach().cpu()
    size = (_SIDE * (1 + len(temperatures)), _SIDE * len(images) * images.shape[2] / images.shape[3] + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(images), 1 + len(temperatures), squeeze=False)
    state = generator.get_state()
    columns = [("original", images)]
    for temperature in temperatures:
        generator.set_state(state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FoldingWarning)  # the title shows how many fold
            diffeo = field.sample(
                len(images), temperature=temperature, generator=generator, dtype=images.dtype, device="cpu"
            )
        columns.append((_title(field, temperature), diffeo.warp(images)))
    for column, (title, shown) in enumerate(columns):
        grid[0, column].set_title(title, fontsize=9, fontweight="normal", loc="center")
        for axes, image, original in zip(grid[:, column], shown, images, strict=True):
            axes.imshow(pixels(image, original), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
    return figure


def _title(field: SineField, temperature: float) -> str:
    folds = field.folding_probability(temperature)
    title = f"δ = {field.typical_displacement(temperature):.2g} px"
    return f"{title}\n{100 * folds:.0f} % fold" if folds >= 0.005 else title


def pixels(image: Float[Tensor, "channels rows columns"], original: Tensor) -> Any:
    """An image for `imshow`, in colours if it has three channels, in the grey scale of the original."""
    low, high = float(original.min()), float(original.max())
    scaled = ((image - low) / (high - low if high > low else 1.0)).clamp(0, 1)
    array = scaled.movedim(0, -1).to(torch.float32).numpy()
    return array if array.shape[2] == 3 else array[:, :, 0]


_MAX_NAMES = 24  # layer names below an axis
_PANELS = (
    ("D", "Change under deformations", "D (relative squared change of f)"),
    ("G", "Change under noise", "G (relative squared change of f)"),
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
    """Figure of D, G and R by layer in order of execution, with confidence intervals, on logarithmic axes.

    D and G are the relative squared changes of a layer's output under deformations and under noise, and
    R = D/G. Values that are undefined or 0 are not drawn.

    Args:
        stability: measurement of a network.
        baseline: measurement of another network with the same layers, such as one with initial weights.
        label: name of the network in the legend, which is drawn only with a baseline.
        baseline_label: name of the baseline in the legend.

    Raises:
        ValueError: the baseline has other layers.
    """
    if baseline is not None and baseline.layers != stability.layers:
        other = [name for name in baseline.layers if name not in stability.layers][:3]
        raise ValueError(
            f"baseline: expected the {len(stability.layers)} layers of the network, got "
            f"{len(baseline.layers)}" + (f", among them {', '.join(other)}" if other else "")
        )
    figure, row = row_of_panels(len(_PANELS))
    for axes, (name, title, text) in zip(row, _PANELS, strict=True):
        if baseline is not None:
            _draw(axes, getattr(baseline, name), FAINT, baseline_label)
        _draw(axes, getattr(stability, name), COLORS[0], label)
        _show_scale(axes)
        _name_layers(axes, stability.layers)
        axes.set(title=title, xlabel="layer", ylabel=text)
    row[-1].axhline(1.0, color=FAINT, linewidth=1, linestyle=":", zorder=0)  # R of f(x) = x
    if baseline is not None:
        row[0].legend(loc="best")
    return figure


def _draw(axes: Axes, estimate: LayerEstimates, color: str, label: str) -> None:
    layer = np.arange(len(estimate.value))
    value = np.where(estimate.value > 0, estimate.value, np.nan)
    errors = np.stack((value - estimate.low, estimate.high - value))
    finite = np.isfinite(errors).all(0)
    marker = "o" if len(layer) <= 2 * _MAX_NAMES else ""
    axes.plot(layer, value, color=color, marker=marker, markersize=3.5, label=label)
    if len(layer) == 1:
        axes.errorbar(layer[finite], value[finite], errors[:, finite].clip(0), color=color, capsize=3)
    else:
        low, high = (np.where(finite, end, np.nan) for end in (estimate.low, estimate.high))
        axes.fill_between(layer, low, high, color=color, alpha=0.25, linewidth=0)


def _show_scale(axes: Axes) -> None:
    """Makes the axis logarithmic and at least a factor of two high, or writes "undefined" without values."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    values = values[np.isfinite(values)]
    if not len(values):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "undefined", transform=axes.transAxes, ha="center", color=FAINT)
        return
    logarithmic(axes)
    if values.max() < 2 * values.min():
        axes.set_ylim(values.min() / 1.6, values.max() * 1.6)


def _name_layers(axes: Axes, layers: tuple[str, ...]) -> None:
    last = len(layers) - 1
    step = -(-len(layers) // _MAX_NAMES)
    # The last layer is always named; names so close to it that they would overlap are left out.
    ticks = [index for index in range(0, last, step) if last - index >= step] + [last]
    axes.set_xticks(ticks, [layers[index] for index in ticks], rotation=90, fontsize=7)
    axes.set_xlim(-0.6, last + 0.6)
