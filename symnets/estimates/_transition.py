"""The transition between SAT and UNSAT, read off runs of several seeds at a row of points."""

from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from symnets.estimates._estimate import Estimate


def crossing(x: ArrayLike, fraction: ArrayLike) -> float:
    """Where a fraction that grows from below ½ to above ½ passes ½, interpolated linearly.

    Of several crossings the middle of the outermost two; NaN if there is none within.
    """
    x, fraction = np.asarray(x, dtype=float), np.asarray(fraction, dtype=float)
    above = fraction >= 0.5
    if above.all() or not above.any() or above[0] or not above[-1]:
        return float("nan")
    places = []
    for k in np.flatnonzero(above[1:] != above[:-1]):
        slope = (fraction[k + 1] - fraction[k]) / (x[k + 1] - x[k])
        places.append(x[k] + (0.5 - fraction[k]) / slope)
    return float((places[0] + places[-1]) / 2)


def transition(table: Any, x: str, jammed: ArrayLike, *, n_resamples: int = 200) -> Estimate:
    """The x at which half of the seeds are jammed, and its error.

    The error adds two parts in squares: the spread when whole seeds are drawn anew, and the width of a step
    of x at the crossing over √12, for within a step nothing was measured.

    Args:
        table: a data frame of runs, with the columns `x` and "seed".
        x: column that grows towards jamming.
        jammed: one bool a run.
        n_resamples: of the bootstrap over whole seeds.
    """
    found = table[[x, "seed"]].assign(jammed=np.asarray(jammed, dtype=float))
    curves = found.pivot_table(index="seed", columns=x, values="jammed", aggfunc="mean")
    points, values = curves.columns.to_numpy(), curves.to_numpy()
    value = crossing(points, np.nanmean(values, axis=0))
    if not np.isfinite(value):
        return Estimate(value, float("nan"))
    right = int(np.searchsorted(points, value, side="right").clip(1, len(points) - 1))
    step = float(points[right] - points[right - 1]) / 12**0.5
    return Estimate(value, float(np.hypot(_spread(points, values, n_resamples), step)))


def _spread(points: ndarray, values: ndarray, n_resamples: int) -> float:
    rng = np.random.default_rng(0)
    drawn = [
        crossing(points, np.nanmean(values[rng.integers(len(values), size=len(values))], axis=0))
        for _ in range(n_resamples)
    ]
    known = [place for place in drawn if np.isfinite(place)]
    return float(np.std(known)) if len(known) > n_resamples // 2 else float("nan")
