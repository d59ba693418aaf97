"""A number with its standard error, and means over repeated measurements."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray


class Estimate(NamedTuple):
    """A number and its standard error.

    The statistics of `symnets.estimates` return it, and `symnets.sweeps.Finding` takes it. Asymmetric
    confidence intervals, as those of `symnets.observables.stability`, are stored by their two ends instead.

    Attributes:
        value: the number.
        error: its standard error; None if the number is exact, a count, or was measured only once.

    Example:
        >>> str(Estimate(0.50312, 0.0123))
        '0.5031 ± 0.012'
    """

    value: float
    error: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.4g}" if self.error is None else f"{self.value:.4g} ± {self.error:.2g}"

    def __neg__(self) -> "Estimate":
        return Estimate(-self.value, self.error)


def mean_over_seeds(values: Sequence[float], *, geometric: bool = False) -> Estimate:
    """Mean over n seeds and its standard error s/√n; a single seed has no error.

    Args:
        values: one for each seed; NaN and infinite values are left out.
        geometric: whether to take the geometric mean, exp of the mean logarithm of the positive values, with
            its error to first order.
    """
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if geometric:
        finite = np.log(finite[finite > 0])
    if not len(finite):
        return Estimate(float("nan"))
    mean = float(finite.mean())
    error = float(finite.std(ddof=1) / len(finite) ** 0.5) if len(finite) > 1 else None
    if not geometric:
        return Estimate(mean, error)
    return Estimate(float(np.exp(mean)), None if error is None else float(np.exp(mean)) * error)


def geometric_mean(curves: Sequence[ndarray]) -> ndarray:
    """Geometric mean of curves, point by point; NaN where one of them is not positive and finite."""
    stacked = np.stack(list(curves)).astype(float)
    return np.exp(np.log(np.where((stacked > 0) & (stacked < np.inf), stacked, np.nan)).mean(0))


def from_resamples(value: float, resamples: Sequence[float]) -> Estimate:
    """A statistic with the standard deviation of its resampled values (bootstrap) as its error.

    Resamples in which the statistic is not defined (NaN or infinite) are left out. The error is None if
    no more than half of them are left.
    """
    finite = np.asarray(resamples)[np.isfinite(resamples)]
    return Estimate(value, float(finite.std(ddof=1)) if 2 * len(finite) > len(resamples) else None)
