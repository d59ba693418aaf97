"""Energy drift: what a trajectory at constant energy does to its energy."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from symnets import simulate
from symnets.report._errors import three_digits
from symnets.report._style import COLORS, FAINT, row_of_panels, style

_NEEDED = ("time_ps", "potential_energy", "kinetic_energy", "total_energy", "temperature")


@style()
def energy_drift_figure(log: pd.DataFrame, *, n_atoms: int) -> Figure:
    """How kinetic and potential energy trade places, the total on its own scale, and the temperature.

    Args:
        log: one row a record, as `symnets.simulate.run_md` keeps it: `time_ps` (ps),
            `potential_energy`, `kinetic_energy`, `total_energy` (eV) and `temperature` (K).
        n_atoms: size of the system; energies are drawn per atom, as departures from their mean.

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
    for name, colour in (("potential", COLORS[1]), ("kinetic", COLORS[5]), ("total", COLORS[0])):
        change, width = _change(log, f"{name}_energy", n_atoms), 1.8 if name == "total" else 1.0
        axes.plot(log["time_ps"], change, color=colour, label=name, linewidth=width)
    axes.set(title="Energy exchange", ylabel="change from mean (meV/atom)")
    _room_above(axes)
    axes.legend(loc="upper center", ncols=3, handlelength=1.2, columnspacing=1.2)


def _total(axes: Axes, log: pd.DataFrame, n_atoms: int) -> None:
    drift, time = simulate.energy_drift(log, n_atoms), log["time_ps"].to_numpy()
    axes.plot(time, _change(log, "total_energy", n_atoms), color=COLORS[0], linewidth=1)
    line = 1000 * drift.per_atom * (time - time.mean()) / drift.duration
    axes.plot(time, line, color="#000000", linestyle="--", linewidth=1.2)
    text = f"drift {three_digits(1000 * drift.per_atom)} meV/atom in {three_digits(drift.duration)} ps"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=9)
    axes.set(title="Total energy alone", ylabel="change from mean (meV/atom)")
    _room_above(axes)


def _change(log: pd.DataFrame, column: str, n_atoms: int) -> ndarray:
    """Departure from the mean, meV per atom."""
    values = log[column].to_numpy()
    return 1000 * (values - values.mean()) / n_atoms


def _room_above(axes: Axes) -> None:
    """Higher axes, so that what is written at their top covers no curve."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))
