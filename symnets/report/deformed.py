"""Deformed images, as a network sees them."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator, Tensor

from symnets.diffeo import FoldingWarning, SineField
from symnets.report.style import style

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
