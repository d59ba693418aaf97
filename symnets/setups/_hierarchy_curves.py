"""Learning curves of hierarchies: measurements against the number of training inputs, and where they fall."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy import ndarray

from symnets.estimates import Estimate, PowerLaw, SizeCurves, fit_power_law, from_resamples

LEARNED = 0.1
"""A hierarchy is learned where the test error is this fraction of that of guessing."""


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


def size_below_level(curves: SizeCurves, name: str, level: float = 0.5) -> float:
    """Size at which the mean over seeds of a measurement falls below a level for the last time.

    The mean is interpolated linearly in the logarithm of the size. NaN if it does not fall below the level.

    Args:
        curves: measurements against the size, such as `hierarchy_curves`.
        name: name of the measurement.
        level: the level.
    """
    log_size, values = np.log(curves.sizes.astype(float)), curves.mean(name)
    above = np.flatnonzero(~(values < level))
    if not len(above) or above[-1] + 1 == len(values):
        return float("nan")
    k = above[-1]
    return float(np.exp(np.interp(level, values[[k + 1, k]], log_size[[k + 1, k]])))


def sample_complexity(curves: Mapping[int, SizeCurves], unit: Callable[[int], float]) -> PowerLaw | None:
    """Power law of the sample complexity P* against a predicted scale of P.

    P* is where the mean relative error falls below `LEARNED`.

    Returns None if P* and its error are known for fewer than three sets of curves.

    Args:
        curves: sets of curves of the "relative_error", by a number that distinguishes them.
        unit: the unit of P for each number.
    """
    star = {
        key: estimate_jointly(
            {key: each}, lambda c, key=key: size_below_level(c[key], "relative_error", LEARNED)
        )
        for key, each in curves.items()
    }
    known = {key: each for key, each in star.items() if np.isfinite(each.value) and each.error}
    if len(known) < 3:
        return None
    values, errors = zip(*known.values(), strict=True)
    return fit_power_law([unit(key) for key in known], values, error=errors)


def estimate_jointly(
    curves: Mapping[int, SizeCurves],
    statistic: Callable[[Mapping[int, SizeCurves]], float],
    *,
    n_resamples: int = 300,
) -> Estimate:
    """A statistic of several sets of curves, with its standard error by the bootstrap over the seeds of each.

    The error is None if the statistic is not defined in half of the resamples or more, or with a single seed.

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
