"""Position of the transition between SAT and UNSAT, from runs of several seeds at a series of points."""

from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from symnets.estimates._estimate import Estimate


def crossing(x: ArrayLike, fraction: ArrayLike) -> float:
    """The x at which a fraction that grows from below ½ to above ½ crosses ½, interpolated linearly.

    If there are several crossings, the middle between the first and the last; NaN if there is none.
    """
    x, fraction = np.asarray(x, dtype=float), np.asarray(fraction, dtype=float)
    above = fraction >= 0.5
    if above.all() or not above.any() or above[0] or not above[-1]:
        return float("nan")
    crossings = []
    for k in np.flatnonzero(above[1:] != above[:-1]):
        slope = (fraction[k + 1] - fraction[k]) / (x[k + 1] - x[k])
        crossings.append(x[k] + (0.5 - fraction[k]) / slope)
    return float((crossings[0] + crossings[-1]) / 2)


def transition(table: Any, x: str, jammed: ArrayLike, *, n_resamples: int = 200) -> Estimate:
    """The x at which half of the seeds are jammed, with its standard error.

    The error adds two contributions in quadrature: the standard deviation over resampled seeds (bootstrap),
    and the spacing of x at the crossing divided by √12, the standard deviation of a position uniform in that
    interval. The value and the error are NaN if the fraction does not cross one half; the error alone is NaN
    if it does so in no more than half of the resamples.

    Args:
        table: a data frame of runs with columns `x` and "seed".
        x: name of a column whose values increase towards jamming.
        jammed: one bool for each run.
        n_resamples: number of resamples of the seeds.
    """
    runs = table[[x, "seed"]].assign(jammed=np.asarray(jammed, dtype=float))
    curves = runs.pivot_table(index="seed", columns=x, values="jammed", aggfunc="mean")
    points, values = curves.columns.to_numpy(), curves.to_numpy()
    value = crossing(points, np.nanmean(values, axis=0))
    if not np.isfinite(value):
        return Estimate(value, float("nan"))
    right = int(np.searchsorted(points, value, side="right").clip(1, len(points) - 1))
    step = float(points[right] - points[right - 1]) / 12**0.5
    return Estimate(value, float(np.hypot(_spread(points, values, n_resamples), step)))


def _spread(points: ndarray, values: ndarray, n_resamples: int) -> float:
    rng = np.random.default_rng(0)
    resamples = [
        crossing(points, np.nanmean(values[rng.integers(len(values), size=len(values))], axis=0))
        for _ in range(n_resamples)
    ]
    finite = [value for value in resamples if np.isfinite(value)]
    return float(np.std(finite)) if len(finite) > n_resamples // 2 else float("nan")
