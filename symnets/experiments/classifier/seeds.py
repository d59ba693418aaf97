"""Arrays of runs that differ in their seed alone, and averages over them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from symnets.experiments.experiment import Arrays

Seeds = Sequence[Mapping[str, ndarray]]
"""The arrays of each seed."""


def by_net(table: pd.DataFrame, arrays: Arrays) -> Iterator[tuple[str, Seeds]]:
    """ "net, data" and the arrays of its seeds, for each net and data set; diverged runs are left out."""
    runs: Any = table.query("verdict != 'DIVERGED'")
    for (net, data), mine in runs.groupby(["net", "data"], sort=False):
        yield f"{net}, {data}", [arrays(str(name)) for name in mine.index]


def over_seeds(values: Sequence[float], *, geometric: bool = False) -> tuple[float, float | None]:
    """Mean and its standard error, if asked for on the logarithmic scale; NaN is left out.

    None of a single seed.
    """
    found = np.asarray(values, dtype=float)
    found = np.log(found[found > 0]) if geometric else found[np.isfinite(found)]
    if not len(found):
        return float("nan"), None
    mean = float(found.mean())
    error = float(found.std(ddof=1) / len(found) ** 0.5) if len(found) > 1 else None
    if not geometric:
        return mean, error
    return float(np.exp(mean)), None if error is None else float(np.exp(mean)) * error


def geometric_mean(values: Sequence[ndarray]) -> ndarray:
    """Of curves, point by point; a point that is not positive in one of them is NaN."""
    stacked = np.stack(list(values)).astype(float)
    return np.exp(np.log(np.where(stacked > 0, stacked, np.nan)).mean(0))
