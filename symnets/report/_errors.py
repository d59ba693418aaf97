"""The table of errors that `symnets evaluate` prints and reports show.

Parity plots: predictions against labels, with what is left between them underneath.
"""

from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy import ndarray

from symnets.observables import Error, Errors, Predictions, errors
from symnets.report._style import FAINT, colors, style

GPA = 160.21766208
"""Gigapascal in one eV/Å³."""


class ErrorRow(NamedTuple):
    """One line of the table, as text."""

    quantity: str
    mae: str
    rmse: str
    unit: str
    n: str


def error_table(errors: Errors) -> list[ErrorRow]:
    """Errors as lines of text in meV, meV/Å and GPa; what was never labelled has no line.

    Three significant digits, or whole numbers from 100 on.
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


def three_digits(value: float) -> str:
    """Three significant digits without an exponent where that reads well: 0.0123, 1.23, 12.3, 1,234."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.9995:
        return f"{value:.2f}"
    return f"{value:#.3g}"


_MOST_POINTS = 30_000  # beyond this a panel shows a random sample: the eye sees no difference
_VEIL = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 2}  # under text over points


@style()
def parity(predictions: Predictions) -> Figure:
    """A panel each for energy, forces and stress, if labelled; residuals below on their own scale.

    Energies are relative to the mean label: of the whole structure where all structures have the
    same number of atoms, else per atom. Force components are coloured by element.

    Raises:
        ValueError: there is no label at all.
    """
    found = errors(predictions)
    panels = [name for name in ("energy", "forces", "stress") if getattr(found, name) is not None]
    if not panels:
        raise ValueError("parity: expected labels of energy, forces or stress, got predictions without any")
    figure = Figure(figsize=(4.4 * len(panels), 5.2), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)  # pyright: ignore
    grid = figure.subplots(2, len(panels), sharex="col", height_ratios=(3, 1), squeeze=False)
    draw = {"energy": _energy, "forces": _forces, "stress": _stress}
    figure.align_ylabels()
    for name, (upper, lower) in zip(panels, grid.T, strict=True):
        draw[name](upper, lower, predictions)
    return figure


def _energy(upper: Axes, lower: Axes, made: Predictions) -> None:
    whole = bool((made.n_atoms == made.n_atoms[0]).all())
    size = np.ones_like(made.n_atoms) if whole else made.n_atoms
    label, predicted = made.energy_label / size, made.energy / size
    mean = np.nanmean(label)
    _panel(upper, lower, label - mean, predicted - mean, unit="eV" if whole else "eV/atom")
    upper.set_title("Energy" if whole else "Energy per atom")
    upper.set_ylabel(f"prediction − mean label ({'eV' if whole else 'eV/atom'})")
    lower.set_xlabel(f"label − mean label ({'eV' if whole else 'eV/atom'})")


def _forces(upper: Axes, lower: Axes, made: Predictions) -> None:
    species = np.repeat(made.species[:, None], 3, axis=1)
    kinds = np.unique(made.species)
    palette = colors(len(kinds))
    colour = np.asarray(palette)[np.searchsorted(kinds, species)]
    _panel(upper, lower, made.forces_label, made.forces, unit="eV/Å", colour=colour)
    upper.set_title("Force components")
    lower.set_xlabel("label (eV/Å)")
    if len(kinds) > 1:
        dots = [Line2D([], [], marker="o", linestyle="", color=c, markersize=5) for c in palette]
        symbols = [chemical_symbols[kind] for kind in kinds]
        upper.legend(dots, symbols, loc="lower right", ncols=1 + (len(kinds) - 1) // 6, handletextpad=0.1)


def _stress(upper: Axes, lower: Axes, made: Predictions) -> None:
    _panel(upper, lower, made.stress_label, made.stress, unit="eV/Å³")
    upper.set_title("Stress components")
    lower.set_xlabel("label (eV/Å³)")


def _panel(
    upper: Axes, lower: Axes, label: ndarray, predicted: ndarray, *, unit: str, colour: ndarray | None = None
) -> None:
    """Predictions over labels above the diagonal's residual, in random order: no colour hides another."""
    known = np.flatnonzero(~np.isnan(label.ravel()))
    error = Error.of((predicted - label).ravel()[known])
    shown = np.random.default_rng(0).permutation(known)[:_MOST_POINTS]
    x, y = label.ravel()[shown], predicted.ravel()[shown]
    c = colors(1)[0] if colour is None else colour.ravel()[shown]
    alpha = float(np.clip(40 / np.sqrt(len(x)), 0.25, 0.8))
    for axes, height in ((upper, y), (lower, 1000 * (y - x))):
        axes.scatter(x, height, s=9, c=c, alpha=alpha, linewidths=0, rasterized=True)
    upper.axline((0, 0), slope=1, color=FAINT, linewidth=1, zorder=0)
    lower.axhline(0, color=FAINT, linewidth=1, zorder=0)
    lower.xaxis.set_major_locator(MaxNLocator(5))
    upper.set_ylabel(f"prediction ({unit})")
    lower.set_ylabel(f"difference\n(m{unit})")
    if error is not None:
        text = f"RMSE {three_digits(1000 * error.rmse)} m{unit}\nMAE {three_digits(1000 * error.mae)} m{unit}"
        upper.text(0.04, 0.96, text, transform=upper.transAxes, va="top", fontsize=9, bbox=_VEIL)
