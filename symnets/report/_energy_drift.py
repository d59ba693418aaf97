"""Figure of the energy conservation of a trajectory: energy exchange, drift of the total, temperature."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets import simulate
from symnets.report._html import three_digits
from symnets.report._style import COLORS, FAINT, row_of_panels, style

_NEEDED = ("time_ps", "potential_energy", "kinetic_energy", "total_energy", "temperature")


@style()
def energy_drift_figure(log: pd.DataFrame, *, n_atoms: int) -> Figure:
    """Figure of kinetic and potential energy, the total energy with its drift, and the temperature over time.

    Args:
        log: one row for each record, as returned by `symnets.simulate.run_md`: `time_ps` (ps),
            `potential_energy`, `kinetic_energy`, `total_energy` (eV) and `temperature` (K).
        n_atoms: number of atoms; energies are plotted per atom, relative to their mean.

    Raises:
        ValueError: a column is missing, or there are fewer than two rows.
    """
    if missing := [name for name in _NEEDED if name not in log]:
        raise ValueError(f"energy_drift: expected a column {missing[0]!r}, got {list(log.columns)}")
    if len(log) < 2:
        raise ValueError(f"energy_drift: expected at least two rows, got {len(log)}")
    figure, (exchange, total, temperature) = row_of_panels(3)
    _exchange(exchange, log, n_atoms)
    _total(total, log, n_atoms)
    temperature.plot(log["time_ps"], log["temperature"], color=COLORS[2], linewidth=1)
    temperature.axhline(log["temperature"].to_numpy().mean(), color=FAINT, linewidth=1)
    temperature.set(title="Temperature", ylabel="temperature (K)")
    for axes in (exchange, total, temperature):
        axes.set_xlabel("time (ps)")
    return figure


def _exchange(axes: Axes, log: pd.DataFrame, n_atoms: int) -> None:
    for name, color in (("potential", COLORS[1]), ("kinetic", COLORS[5]), ("total", COLORS[0])):
        change, width = _change(log, f"{name}_energy", n_atoms), 1.8 if name == "total" else 1.0
        axes.plot(log["time_ps"], change, color=color, label=name, linewidth=width)
    axes.set(title="Kinetic and potential energy", ylabel="energy − mean (meV/atom)")
    _raise_upper_limit(axes)
    axes.legend(loc="upper center", ncols=3, handlelength=1.2, columnspacing=1.2)


def _total(axes: Axes, log: pd.DataFrame, n_atoms: int) -> None:
    drift, time = simulate.energy_drift(log, n_atoms), log["time_ps"].to_numpy()
    axes.plot(time, _change(log, "total_energy", n_atoms), color=COLORS[0], linewidth=1)
    line = 1000 * drift.per_atom * (time - time.mean()) / drift.duration
    axes.plot(time, line, color="#000000", linestyle="--", linewidth=1.2)
    text = f"drift {three_digits(1000 * drift.per_atom)} meV/atom in {three_digits(drift.duration)} ps"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=9)
    axes.set(title="Total energy", ylabel="energy − mean (meV/atom)")
    _raise_upper_limit(axes)


def _change(log: pd.DataFrame, column: str, n_atoms: int) -> ndarray:
    """Deviation from the mean in meV per atom."""
    values = log[column].to_numpy()
    return 1000 * (values - values.mean()) / n_atoms


def _raise_upper_limit(axes: Axes) -> None:
    """Extends the vertical axis, so that text at the top does not cover the curves."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))
