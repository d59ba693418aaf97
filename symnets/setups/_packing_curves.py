"""Averages over packings at equal distance from their own jamming points.

The packing fraction at which quenches begin to jam.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

_FARTHEST = 0.03  # phi - phi_J up to which the laws of the jamming point are looked for
_FINITE_SIZE = 100  # times n^-2: the least phi - phi_J at which single contacts do not matter


@dataclass(frozen=True)
class Curves:
    """Decompressed packings brought to common distances from jamming.

    Attributes:
        excess: (points,), phi - phi_J, four a decade.
        coordination: (packings, points), contacts a sphere above isostaticity: Z - Z_iso = 2 (N_c - N) / n,
            n without rattlers.
        energy: (packings, points), per sphere.
        pressure: (packings, points).
        at_jamming: (packings,), contacts per degree of freedom N_c / N at the smallest distance.
    """

    excess: ndarray
    coordination: ndarray
    energy: ndarray
    pressure: ndarray
    at_jamming: ndarray


def curves(
    packings: Sequence[Mapping[str, ndarray]], phi_jamming: Sequence[float], *, n_spheres: int
) -> Curves | None:
    """Interpolates each packing's way down, linearly in log (phi - phi_J).

    A packing that lost its stability on the way may have jumped up in phi. What it passed before and now
    comes out nearer to phi_J than something later is left out.

    Distances go from 100 / n^2 to 0.03. Below n^-2 a packing of n spheres has its N contacts and no more, and
    the law begins some decades above (Goodrich, Liu, Nagel, PRL 109, 095704, 2012).

    Args:
        packings: `phi` descending, `energy`, `pressure`, `n_contacts`, `n_effective`, `n_rattlers` of each.
        phi_jamming: of each.
        n_spheres: n.

    Returns:
        None with fewer than three packings, which have no scatter to speak of, or if they are so small or
        were followed so little that the range is empty.
    """
    if len(packings) < 3:
        return None
    reached = max(p["phi"][-1] - at for p, at in zip(packings, phi_jamming, strict=True))
    least = max(_FINITE_SIZE / n_spheres**2, reached)
    if least > _FARTHEST / 4:
        return None
    excess = np.geomspace(least, _FARTHEST, 2 + int(4 * np.log10(_FARTHEST / least)))
    coordination, energy, pressure = [], [], []
    for p, at in zip(packings, phi_jamming, strict=True):
        above = (p["phi"] - at)[::-1]
        kept = above > np.append(0, np.maximum.accumulate(above)[:-1])
        x, y = np.log(above[kept]), {name: values[::-1][kept] for name, values in p.items()}
        extra = 2 * (y["n_contacts"] - y["n_effective"]) / (n_spheres - y["n_rattlers"])
        coordination.append(np.interp(np.log(excess), x, extra))
        energy.append(np.exp(np.interp(np.log(excess), x, np.log(y["energy"]))))
        pressure.append(np.exp(np.interp(np.log(excess), x, np.log(y["pressure"]))))
    at_jamming = np.array([p["n_contacts"][-1] / p["n_effective"][-1] for p in packings])
    return Curves(excess, np.array(coordination), np.array(energy), np.array(pressure), at_jamming)


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
