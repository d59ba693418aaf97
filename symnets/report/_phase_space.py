"""The plane of temperature and cutoff: where deformations are visible, and where they fold."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator, Tensor

from symnets.diffeo import CutoffRule, FoldingWarning, SineField
from symnets.report._style import COLORS, FAINT, style

_SHADE = "#009E73"
_GROUND = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}


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
    """One image, deformed at points of the plane of T and c; the allowed region T1 < T < T2 is shaded.

    A row for each cutoff, at temperatures evenly spaced on the logarithmic scale from a fourth of the
    smallest T1 to four times the largest T2. Below each picture stands the fraction of such deformations that
    fold. The fields of a row differ in their temperature alone. Rows are evenly spaced, whatever their
    cutoffs; T1 and T2 are lines through their values at each.

    Args:
        image: of one channel or three, square, as it is shown; of other numbers of channels the first is.
        cutoffs: c, ascending, all above 1.
        n_temperatures: pictures in a row.
        rule: which modes are kept.
        exact: whether T1 is where the displacement is half a pixel exactly, or by the logarithmic formula.
        generator: source of the deformations.

    Raises:
        ValueError: cutoffs not ascending or not above 1, or more than the pixels can show.
    """
    cutoffs = [float(c) for c in cutoffs]
    if not cutoffs or cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 1:
        raise ValueError(f"cutoffs: expected ascending numbers above 1, got {cutoffs}")
    if n_temperatures < 2:
        raise ValueError(f"n_temperatures: expected at least 2, got {n_temperatures}")
    fields = [SineField(image.shape[1:], cutoff=c, rule=rule) for c in cutoffs]
    ends = np.log10([field.temperature_range(exact=exact) for field in fields])
    decade = math.log10(4)
    at = np.linspace(ends[:, 0].min() - decade, ends[:, 1].max() + decade, n_temperatures)
    made = Figure(figsize=(1.35 * n_temperatures + 1.2, 1.35 * len(fields) + 0.8), layout="constrained")
    axes = made.subplots()
    _shade(axes, ends)
    step = at[1] - at[0]
    for row, field in enumerate(fields):
        state = generator.get_state()
        for log_t in at:
            generator.set_state(state)
            shown, folds = _deformed(image, field, 10**log_t, generator)
            _picture(axes, shown, image, (log_t, row), step)
            text = f"{100 * folds:.0f} % fold" if folds >= 0.005 else "none folds"
            axes.text(log_t, row - 0.45, text, ha="center", va="center", fontsize=7, bbox=_GROUND)
    axes.set_yticks(range(len(fields)), [f"{c:g}" for c in cutoffs])
    axes.set(xlabel="log$_{10}$ T", ylabel="cutoff c", title="Deformations at a temperature, up to a cutoff")
    axes.set_xlim(at[0] - 0.6 * step, at[-1] + 0.6 * step)
    axes.set_ylim(-0.65, len(fields) - 0.45)
    axes.set_aspect("auto")
    axes.grid(False)
    made.legend(loc="outside lower center", fontsize=8, ncols=2)
    return made


def _shade(axes: Axes, ends: np.ndarray) -> None:
    rows = np.arange(len(ends))
    # Up to the edge of the first and the last row the lines go on as they are.
    y = np.concatenate(([-0.65], rows, [len(ends) - 0.45]))
    first, second = (np.concatenate((ends[:1, k], ends[:, k], ends[-1:, k])) for k in range(2))
    axes.fill_betweenx(
        y, first, second, where=(first < second).tolist(), color=_SHADE, alpha=0.15, linewidth=0
    )
    axes.plot(first, y, color=COLORS[0], label="$T_1$: half a pixel", zorder=3)
    axes.plot(second, y, color=COLORS[1], label="$T_2$: folds begin to be common", zorder=3)


def _deformed(
    image: Tensor, field: SineField, temperature: float, generator: Generator
) -> tuple[Tensor, float]:
    """The image, and the fraction of such deformations that fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FoldingWarning)  # the text below the picture tells
        diffeo = field.sample(1, temperature=temperature, generator=generator, dtype=torch.float32)
    return diffeo.warp(image.detach().cpu().float()[None])[0], field.folding_probability(temperature)


def _picture(axes: Axes, shown: Tensor, image: Tensor, centre: tuple[float, float], step: float) -> None:
    """Draws pixels about a point, grey scaled to the darkest and the brightest of the image as it is."""
    low, high = float(image.min()), float(image.max())
    pixels: Any = ((shown - low) / (high - low if high > low else 1.0)).clamp(0, 1).movedim(0, -1).numpy()
    if pixels.shape[2] != 3:
        pixels = pixels[:, :, 0]
    x, y = centre
    place = (x - 0.36 * step, x + 0.36 * step, y - 0.36, y + 0.4)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=place, aspect="auto", zorder=2)
    axes.plot(
        [place[0], place[1], place[1], place[0], place[0]],
        [place[2], place[2], place[3], place[3], place[2]],
        color=FAINT,
        linewidth=0.6,
        zorder=2,
    )
