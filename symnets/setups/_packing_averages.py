"""Averages over packings at equal distance from jamming, and the jamming threshold of quenches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from symnets.estimates import Estimate, PowerLaw, fit_power_law

_MAX_EXCESS = 0.03  # largest phi - phi_J at which the scaling laws of the jamming point are tested
_FINITE_SIZE = 100  # times n^-2: the smallest phi - phi_J at which single contacts do not matter


@dataclass(frozen=True)
class PackingAverages:
    """Quantities of decompressed packings at common distances from jamming.

    Attributes:
        excess: distances phi - phi_J, four per decade, (points,).
        coordination: excess coordination Z - Z_iso = 2 (N_c - N) / n, n without rattlers, (packings, points).
        energy: energy per sphere, (packings, points).
        pressure: pressure as in `Contacts`, (packings, points).
        at_jamming: contacts per degree of freedom N_c / N at the end of decompression, (packings,).
    """

    excess: ndarray
    coordination: ndarray
    energy: ndarray
    pressure: ndarray
    at_jamming: ndarray

    def coordination_law(self, *, n_resamples: int = 500, seed: int = 0) -> PowerLaw:
        """Power law of coordination in pressure, both averaged over packings.

        Errors come from resampling packings, pressure and coordination of a packing together.
        """

        def fit(packings: ndarray) -> PowerLaw:
            return fit_power_law(self.pressure[packings].mean(0), self.coordination[packings].mean(0))

        n, rng = len(self.pressure), np.random.default_rng(seed)
        resampled = [fit(rng.integers(n, size=n)) for _ in range(n_resamples)]
        law = fit(np.arange(n))
        exponent_error = float(np.std([f.exponent.value for f in resampled], ddof=1))
        prefactor_error = float(np.std([f.prefactor.value for f in resampled], ddof=1))
        return replace(
            law,
            exponent=Estimate(law.exponent.value, exponent_error),
            prefactor=Estimate(law.prefactor.value, prefactor_error),
        )


def average_packings(
    packings: Sequence[Mapping[str, ndarray]], phi_jamming: Sequence[float], *, n_spheres: int
) -> PackingAverages | None:
    """Interpolate the decompressions of packings to common distances, linearly in log (phi - phi_J).

    A packing that became unstable during decompression may have jumped to a higher phi. Earlier states that
    are then closer to phi_J than later ones are left out.

    Distances range from 100 / n^2 to 0.03. Below n^-2 a packing of n spheres has just its N contacts, and the
    scaling law begins some decades above (Goodrich, Liu, Nagel, PRL 109, 095704, 2012).

    Args:
        packings: `phi` (descending), `energy`, `pressure`, `n_contacts`, `n_effective` and `n_rattlers` of
            each packing.
        phi_jamming: phi_J of each packing.
        n_spheres: n.

    Returns:
        The interpolated quantities. None with fewer than three packings, which give no standard error, or if
        the range of distances is empty, for small packings or short decompressions.
    """
    if len(packings) < 3:
        return None
    reached = max(p["phi"][-1] - at for p, at in zip(packings, phi_jamming, strict=True))
    least = max(_FINITE_SIZE / n_spheres**2, reached)
    if least > _MAX_EXCESS / 4:
        return None
    excess = np.geomspace(least, _MAX_EXCESS, 2 + int(4 * np.log10(_MAX_EXCESS / least)))
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
    return PackingAverages(excess, np.array(coordination), np.array(energy), np.array(pressure), at_jamming)


def jamming_threshold(phi: ArrayLike, jammed: ArrayLike) -> Estimate | None:
    """Mean packing fraction at which quenches begin to jam, over their starting positions.

    The fraction of jammed quenches as a function of phi is the cumulative distribution of phi_J; the result
    is the mean of this distribution.

    With fractions f_k at equally spaced phi_k, from 0 to 1, the mean is phi_last + step / 2 - step sum_k f_k
    (the estimator of Spearman and Kärber, which assumes no form of the distribution), and its variance is
    step^2 sum_k f_k (1 - f_k) / n_k with n_k quenches at phi_k.

    Args:
        phi: packing fraction of each quench.
        jammed: whether it is jammed.

    Returns:
        The mean with its standard error. None if the fractions do not rise from 0 to 1, or at fewer than
        three packing fractions.

    Example:
        >>> jamming_threshold([0.80, 0.82, 0.84, 0.86], [False, False, True, True]).value.__round__(6)
        0.83

    Raises:
        ValueError: the packing fractions are not equally spaced.
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
        raise ValueError(f"phi: expected equally spaced packing fractions, got {at}")
    variance = step**2 * np.sum(fraction * (1 - fraction) / count)
    return Estimate(float(at[-1] + step / 2 - step * fraction.sum()), float(np.sqrt(variance)))
