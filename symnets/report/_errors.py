"""Errors of a force field as a table, and parity plots of predictions against labels."""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from symnets.observables import Error, Errors, Predictions, errors
from symnets.report._html import three_digits
from symnets.report._style import FAINT, colors, style

GPA = 160.21766208
"""1 eV/Å³ in gigapascal."""


class ErrorRow(NamedTuple):
    """One row of the error table, as text."""

    quantity: str
    mae: str
    rmse: str
    unit: str
    n: str


def error_table(errors: Errors) -> list[ErrorRow]:
    """Table of errors in meV, meV/Å and GPa, as text; quantities without labels have no row.

    Numbers have three significant digits; from 100 on they are rounded to integers.
    """
    rows = [
        _row("energy per atom", errors.energy_per_atom, "meV/atom"),
        _row("energy", errors.energy, "meV"),
        _row("energy, mean error removed", errors.energy_shifted, "meV"),
        _row("forces", errors.forces, "meV/Å"),
    ]
    if len(errors.forces_by_species) > 1:
        rows += [_row(f"forces on {symbol}", e, "meV/Å") for symbol, e in errors.forces_by_species.items()]
    rows.append(_row("stress", errors.stress, "meV/Å³"))
    rows.append(_row("stress", errors.stress, "GPa", scale=GPA))
    return [row for row in rows if row is not None]


def _row(quantity: str, error: Error | None, unit: str, *, scale: float = 1000.0) -> ErrorRow | None:
    if error is None:
        return None
    return ErrorRow(
        quantity, three_digits(error.mae * scale), three_digits(error.rmse * scale), unit, f"{error.n:,}"
    )


_MAX_POINTS = 30_000  # a panel with more points shows a random sample; the difference is not visible
_TEXT_BOX = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 2}  # behind text over points


@style()
def parity(predictions: Predictions) -> Figure:
    """Parity plots of energy, forces and stress, where labelled, with the residuals below.

    Energies are relative to the mean label. They are per structure if all structures have the same number of
    atoms, else per atom. Force components are coloured by element.

    Raises:
        ValueError: there are no labels.
    """
    measured = errors(predictions)
    panels = [name for name in ("energy", "forces", "stress") if getattr(measured, name) is not None]
    if not panels:
        raise ValueError("parity: expected labels of energy, forces or stress, got none")
    figure = Figure(figsize=(4.4 * len(panels), 5.2), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)  # pyright: ignore
    grid = figure.subplots(2, len(panels), sharex="col", height_ratios=(3, 1), squeeze=False)
    draw = {"energy": _energy, "forces": _forces, "stress": _stress}
    figure.align_ylabels()
    for name, (upper, lower) in zip(panels, grid.T, strict=True):
        draw[name](upper, lower, predictions)
    return figure


def _energy(upper: Axes, lower: Axes, data: Predictions) -> None:
    equal_size = bool((data.n_atoms == data.n_atoms[0]).all())
    unit = "eV" if equal_size else "eV/atom"
    size = np.ones_like(data.n_atoms) if equal_size else data.n_atoms
    label, predicted = data.energy_label / size, data.energy / size
    mean = np.nanmean(label)
    panel(upper, lower, label - mean, predicted - mean, unit=unit)
    upper.set_title("Energy" if equal_size else "Energy per atom")
    upper.set_ylabel(f"prediction − mean label ({unit})")
    lower.set_xlabel(f"label − mean label ({unit})")


def _forces(upper: Axes, lower: Axes, data: Predictions) -> None:
    species = np.repeat(data.species[:, None], 3, axis=1)
    kinds = np.unique(data.species)
    palette = colors(len(kinds))
    color = np.asarray(palette)[np.searchsorted(kinds, species)]
    panel(upper, lower, data.forces_label, data.forces, unit="eV/Å", color=color)
    upper.set_title("Force components")
    lower.set_xlabel("label (eV/Å)")
    if len(kinds) > 1:
        dots = [Line2D([], [], marker="o", linestyle="", color=c, markersize=5) for c in palette]
        symbols = [chemical_symbols[kind] for kind in kinds]
        upper.legend(dots, symbols, loc="lower right", ncols=1 + (len(kinds) - 1) // 6, handletextpad=0.1)


def _stress(upper: Axes, lower: Axes, data: Predictions) -> None:
    panel(upper, lower, data.stress_label, data.stress, unit="eV/Å³")
    upper.set_title("Stress components")
    lower.set_xlabel("label (eV/Å³)")


def panel(
    upper: Axes,
    lower: Axes,
    label: ndarray,
    predicted: ndarray,
    *,
    unit: str,
    factor: float = 1000.0,
    color: ndarray | None = None,
) -> None:
    """Draws predictions against labels, and below it their differences, with MAE and RMSE as text.

    Differences and errors are multiplied by `factor`: 1000 shows them in thousandths of the unit. Points are
    drawn in random order, so that no element systematically hides another.
    """
    labelled = np.flatnonzero(~np.isnan(label.ravel()))
    error = Error.of((predicted - label).ravel()[labelled])
    points = np.random.default_rng(0).permutation(labelled)[:_MAX_POINTS]
    x, y = label.ravel()[points], predicted.ravel()[points]
    c = colors(1)[0] if color is None else color.ravel()[points]
    alpha = float(np.clip(40 / np.sqrt(len(x)), 0.25, 0.8))
    for axes, height in ((upper, y), (lower, factor * (y - x))):
        axes.scatter(x, height, s=9, c=c, alpha=alpha, linewidths=0, rasterized=True)
    upper.axline((0, 0), slope=1, color=FAINT, linewidth=1, zorder=0)
    lower.axhline(0, color=FAINT, linewidth=1, zorder=0)
    lower.xaxis.set_major_locator(MaxNLocator(5))
    small = f"m{unit}" if factor == 1000 else unit
    upper.set_ylabel(f"prediction ({unit})" if unit else "prediction")
    lower.set_ylabel("prediction − label" + (f"\n({small})" if small else ""))
    if error is not None:
        rmse, mae = (three_digits(factor * value) for value in (error.rmse, error.mae))
        text = f"RMSE {rmse} {small}\nMAE {mae} {small}"
        upper.text(0.04, 0.96, text, transform=upper.transAxes, va="top", fontsize=9, bbox=_TEXT_BOX)
