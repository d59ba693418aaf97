"""Figure of the loss and the validation errors of a training run."""

from typing import Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symnets.report._style import logarithmic, row_of_panels, style


class _Panel(NamedTuple):
    title: str
    label: str
    scale: float
    columns: dict[str, str]  # column of the history -> name in the legend


_PANELS = (
    _Panel("Training loss", "loss", 1, {"loss": ""}),
    _Panel(
        "Validation forces",
        "error (meV/Å)",
        1000,
        {"validation/forces_rmse": "RMSE", "validation/forces_mae": "MAE"},
    ),
    _Panel(
        "Validation energy",
        "error (meV/atom)",
        1000,
        {"validation/energy_per_atom_rmse": "RMSE", "validation/energy_per_atom_mae": "MAE"},
    ),
    _Panel(
        "Validation stress",
        "error (meV/Å³)",
        1000,
        {"validation/stress_rmse": "RMSE", "validation/stress_mae": "MAE"},
    ),
)
_AXES = {"step": ("step", 1.0), "epoch": ("epoch", 1.0), "seconds": ("training time (min)", 1 / 60)}


@style()
def learning_curve(history: pd.DataFrame, *, against: Literal["step", "epoch", "seconds"] = "step") -> Figure:
    """Loss and validation errors during training, one panel each, on logarithmic axes.

    Args:
        history: one row for each record, as in `history.csv`: the column `against` and any of `loss`,
            `validation/forces_rmse` (eV/Å), `validation/energy_per_atom_rmse` (eV),
            `validation/stress_rmse` (eV/Å³) and the same with `_mae`. Missing columns have no panel; NaN is
            skipped.
        against: column of the horizontal axis; seconds are plotted in minutes.

    Raises:
        ValueError: the column `against` is missing, or there is nothing to plot.
    """
    if against not in history:
        raise ValueError(f"learning_curve: expected a column {against!r}, got {list(history.columns)}")
    recorded = set(history.columns[history.notna().any()])
    panels = [panel for panel in _PANELS if recorded & panel.columns.keys()]
    if not panels:
        raise ValueError(f"learning_curve: expected 'loss' or 'validation/...', got {list(history.columns)}")
    label, scale = _AXES[against]
    figure, row = row_of_panels(len(panels))
    for axes, panel in zip(row, panels, strict=True):
        _draw(axes, panel, history.set_index(history[against] * scale))
        axes.set(title=panel.title, xlabel=label, ylabel=panel.label)
    return figure


def _draw(axes: Axes, panel: _Panel, history: pd.DataFrame) -> None:
    logarithmic(axes)
    for column, name in panel.columns.items():
        if column not in history:
            continue
        curve = history[column].dropna() * panel.scale
        few = len(curve) <= 60
        axes.plot(curve.index, curve, label=name, marker="o" if few else "", markersize=3)
    if len(axes.lines) > 1:
        axes.legend(loc="upper right")
