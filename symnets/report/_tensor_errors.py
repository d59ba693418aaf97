"""Errors of tensors as a table, and parity plots of their components."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from symnets.observables import TensorError, TensorValues, tensor_error
from symnets.report._errors import panel
from symnets.report._style import style


def tensor_table(errors: Mapping[str, TensorError], units: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Table of the errors of tensors as text: name, MAE, RMSE, unit, R² and number of components."""
    return [
        (
            name,
            f"{e.mae:.4g}",
            f"{e.rmse:.4g}",
            units.get(name, ""),
            "" if e.r2 is None else f"{e.r2:.4f}",
            f"{e.n:,}",
        )
        for name, e in errors.items()
    ]


@style()
def tensor_parity(values: Mapping[str, TensorValues], units: Mapping[str, str]) -> Figure:
    """Parity plots of the components of each tensor that has labels, with the residuals below.

    Args:
        values: labels and predictions of each tensor, by its name.
        units: unit of each tensor, by its name; a tensor without one is drawn without unit.

    Raises:
        ValueError: there are no labels.
    """
    names = [name for name, pairs in values.items() if tensor_error(pairs) is not None]
    if not names:
        raise ValueError("tensor_parity: expected labels of a tensor, got none")
    figure = Figure(figsize=(4.4 * len(names), 5.2), layout="constrained")
    grid = figure.subplots(2, len(names), sharex="col", height_ratios=(3, 1), squeeze=False)
    figure.align_ylabels()
    for name, (upper, lower) in zip(names, grid.T, strict=True):
        pairs, unit = values[name], units.get(name, "")
        label, predicted = (np.asarray(x, dtype=np.float64) for x in (pairs.label, pairs.predicted))
        panel(upper, lower, label, predicted, unit=unit, factor=1.0)
        upper.set_title(name)
        lower.set_xlabel(f"label ({unit})" if unit else "label")
    return figure
