"""Figure of an image under deformations, over the plane of temperature and cutoff."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator, Tensor

from symnets.diffeo import CutoffRule, FoldingWarning, SineField
from symnets.report._stability import pixels
from symnets.report._style import COLORS, FAINT, style

_SHADING = "#009E73"
_TEXT_BOX = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}


@style()
def phase_space(
    image: Float[Tensor, "channels rows columns"],
    *,
    cutoffs: Sequence[float] = (2, 3, 5, 10, 15),
    n_temperatures: int = 6,
    rule: CutoffRule = "disc",
    exact: bool = True,
    generator: Generator,
) -> Figure:
    """An image deformed at points of the plane of temperature T and cutoff c; T1 < T < T2 is shaded.

    At T1 the displacement is half a pixel; above T2 folds become common. There is one row for each cutoff,
    with temperatures equally spaced on a logarithmic scale from a quarter of the smallest T1 to four times
    the largest T2. Below each image is the fraction of such deformations that fold. The fields of a row
    differ in their temperature only. Rows are equally spaced, independent of the cutoffs; the lines of T1 and
    T2 connect their values at each cutoff.

    Args:
        image: a square image with one or three channels; with another number, the first channel is shown.
        cutoffs: values of c, ascending and above 1.
        n_temperatures: number of images in each row.
        rule: which modes are kept, see `SineField`.
        exact: whether T1 is the temperature of a displacement of exactly half a pixel, or that of the
            logarithmic formula.
        generator: source of the random numbers.

    Raises:
        ValueError: the cutoffs are not ascending, not above 1, or above what the pixels resolve.
    """
    cutoffs = [float(c) for c in cutoffs]
    if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 1:
        raise ValueError(f"cutoffs: expected ascending numbers above 1, got {cutoffs}")
    if n_temperatures < 2:
        raise ValueError(f"n_temperatures: expected at least 2, got {n_temperatures}")
    fields = [SineField(image.shape[1:], cutoff=c, rule=rule) for c in cutoffs]
    ranges = np.log10([field.temperature_range(exact=exact) for field in fields])
    margin = math.log10(4)
    log_ts = np.linspace(ranges[:, 0].min() - margin, ranges[:, 1].max() + margin, n_temperatures)
    figure = Figure(figsize=(1.35 * n_temperatures + 1.2, 1.35 * len(fields) + 0.8), layout="constrained")
    axes = figure.subplots()
    _shade(axes, ranges)
    step = log_ts[1] - log_ts[0]
    for row, field in enumerate(fields):
        state = generator.get_state()
        for log_t in log_ts:
            generator.set_state(state)
            deformed, folds = _deformed(image, field, 10**log_t, generator)
            _picture(axes, deformed, image, (log_t, row), step)
            text = f"{100 * folds:.0f} % fold" if folds >= 0.005 else "none fold"
            axes.text(log_t, row - 0.45, text, ha="center", va="center", fontsize=7, bbox=_TEXT_BOX)
    axes.set_yticks(range(len(fields)), [f"{c:g}" for c in cutoffs])
    axes.set(xlabel="log$_{10}$ of temperature T", ylabel="cutoff c (largest wave number)")
    axes.set_title("One image under random deformations")
    axes.set_xlim(log_ts[0] - 0.6 * step, log_ts[-1] + 0.6 * step)
    axes.set_ylim(-0.65, len(fields) - 0.45)
    axes.set_aspect("auto")
    axes.grid(False)
    figure.legend(loc="outside lower center", fontsize=8, ncols=2)
    return figure


def _shade(axes: Axes, ranges: np.ndarray) -> None:
    rows = np.arange(len(ranges))
    # The lines are continued as constants to the edges of the figure.
    y = np.concatenate(([-0.65], rows, [len(ranges) - 0.45]))
    first, second = (np.concatenate((ranges[:1, k], ranges[:, k], ranges[-1:, k])) for k in range(2))
    axes.fill_betweenx(
        y, first, second, where=(first < second).tolist(), color=_SHADING, alpha=0.15, linewidth=0
    )
    axes.plot(first, y, color=COLORS[0], label="$T_1$: displacement of half a pixel", zorder=3)
    axes.plot(second, y, color=COLORS[1], label="$T_2$: folds become common above", zorder=3)


def _deformed(
    image: Tensor, field: SineField, temperature: float, generator: Generator
) -> tuple[Tensor, float]:
    """The image under a random deformation, and the fraction of such deformations that fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)  # the figure shows how many fold
        diffeo = field.sample(1, temperature=temperature, generator=generator, dtype=torch.float32)
    return diffeo.warp(image.detach().cpu().float()[None])[0], field.folding_probability(temperature)


def _picture(axes: Axes, deformed: Tensor, image: Tensor, centre: tuple[float, float], step: float) -> None:
    """Draws an image around a point, with the grey scale of the undeformed image."""
    x, y = centre
    left, right, bottom, top = x - 0.36 * step, x + 0.36 * step, y - 0.36, y + 0.4
    extent = (left, right, bottom, top)
    axes.imshow(pixels(deformed, image), cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto", zorder=2)
    axes.plot(
        [left, right, right, left, left],
        [bottom, bottom, top, top, bottom],
        color=FAINT,
        linewidth=0.6,
        zorder=2,
    )
