"""Learning curves of hierarchies: measurements against the number of training inputs, and where they fall."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy import ndarray
from numpy.typing import ArrayLike

from symnets.estimates import Estimate, SizeCurves, from_resamples


def hierarchy_curves(table: pd.DataFrame, *columns: str) -> SizeCurves:
    """Curves against the number of training inputs, of the seeds that have a run at every size.

    Args:
        table: runs that differ in `n_train` and `seed`.
        columns: names of the measurements.
    """
    wide = table.pivot_table(index="seed", columns="n_train", values=list(columns), dropna=False)
    complete = wide.dropna()
    values = {name: complete[name].to_numpy(dtype=float) for name in columns}
    return SizeCurves(wide[columns[0]].columns.to_numpy(), values, len(wide) - len(complete))


def size_below_level(sizes: ArrayLike, values: ArrayLike, level: float) -> float:
    """Size at which a curve falls below a level for the last time; NaN if it never does.

    The curve is interpolated linearly in the logarithm of the size.

    Args:
        sizes: sizes, ascending.
        values: values of the curve at these sizes.
        level: the level that the curve crosses.
    """
    log_size, values = np.log(np.asarray(sizes, dtype=float)), np.asarray(values, dtype=float)
    above = np.flatnonzero(~(values < level))
    if not len(above) or above[-1] + 1 == len(values):
        return float("nan")
    k = above[-1]
    return float(np.exp(np.interp(level, values[[k + 1, k]], log_size[[k + 1, k]])))


def estimate_jointly(
    curves: Mapping[int, SizeCurves],
    statistic: Callable[[Mapping[int, SizeCurves]], float],
    *,
    n_resamples: int = 300,
) -> Estimate:
    """A statistic of several sets of curves, with its standard error by the bootstrap over the seeds of each.

    The error is None if the statistic is not defined in half of the resamples, or with a single seed.

    Args:
        curves: sets of curves, by a number that distinguishes them.
        statistic: number computed from all sets.
        n_resamples: number of bootstrap resamples.
    """
    value, rng = float(statistic(curves)), np.random.default_rng(0)
    if min(each.n_seeds for each in curves.values()) < 2:
        return Estimate(value)
    return from_resamples(
        value,
        [statistic({key: _resampled(each, rng) for key, each in curves.items()}) for _ in range(n_resamples)],
    )


def _resampled(curves: SizeCurves, rng: np.random.Generator) -> SizeCurves:
    chosen: ndarray = rng.integers(curves.n_seeds, size=curves.n_seeds)
    return replace(curves, values={name: matrix[chosen] for name, matrix in curves.values.items()})
