"""The packing fraction at which quenches begin to jam."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Threshold:
    """Mean of the packing fractions at which quenches begin to jam, over their starting positions.

    Attributes:
        phi: the mean.
        error: its standard error.
    """

    phi: float
    error: float


def threshold(phi: ArrayLike, jammed: ArrayLike) -> Threshold | None:
    """The mean of a distribution of which the fraction of jammed quenches is the integral.

    With fractions f_k at equally spaced phi_k, from 0 to 1, the mean is phi_last + step / 2 - step sum_k f_k
    (the estimator of Spearman and Kärber, which assumes no shape), its variance step^2 sum_k f_k (1 - f_k) /
    n_k with n_k quenches at phi_k.

    Args:
        phi: of each quench.
        jammed: whether it is.

    Returns:
        None if the fractions do not go from 0 to 1, or at fewer than three phi.

    Example:
        >>> threshold([0.80, 0.82, 0.84, 0.86], [False, False, True, True]).phi.__round__(6)
        0.83

    Raises:
        ValueError: the phi are not equally spaced.
    """
    phi, jammed = np.asarray(phi, dtype=float), np.asarray(jammed, dtype=bool)
    at, which, count = np.unique(phi, return_inverse=True, return_counts=True)
    if len(at) < 3:
        return None
    fraction = np.bincount(which, jammed) / count
    if fraction[0] > 0 or fraction[-1] < 1:
        return None
    step = (at[-1] - at[0]) / (len(at) - 1)
    if not np.allclose(np.diff(at), step, rtol=1e-6):
        raise ValueError(f"threshold: expected equally spaced packing fractions, got {at}")
    variance = step**2 * np.sum(fraction * (1 - fraction) / count)
    return Threshold(float(at[-1] + step / 2 - step * fraction.sum()), float(np.sqrt(variance)))
