"""Exponents of the distributions of gaps, by maximum likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.optimize import brentq
from scipy.stats import bootstrap

from symnets.experiments.experiment import Arrays, Finding
from symnets.report.power_law import PowerLaw

_SOURCE = "Geiger et al. 2019, arXiv:1809.09349, abstract"
STATES = {"minimum": "last minimum", "verge": "verge"}
OVERLAPS = (0.01, 0.3)  # in units of the mean overlap: below the bulk of the distribution
GAPS = (0.01, 0.5)  # in units of the margin: below the bulk of the distribution
THETA, GAMMA = (0.1, 0.5), (0.0, 0.4)  # bands in which we say that they agree


@dataclass(frozen=True)
class Samples:
    """Overlaps and gaps of many nets.

    Attributes:
        overlaps: of each net, Δ > tolerance over their mean.
        gaps: of each net, -Δ of satisfied patterns.
        mean_overlap: of all nets, in units of the margin.
    """

    overlaps: list[ndarray]
    gaps: list[ndarray]
    mean_overlap: float

    def theta(self) -> PowerLaw | None:
        """P_+ ~ Δ^θ below the mean overlap."""
        return fit_density(self.overlaps, *OVERLAPS)

    def gamma(self) -> PowerLaw | None:
        """P_- ~ (-Δ)^-γ, from thrice the mean overlap on; the exponent is -γ. None if no range is left."""
        low = max(GAPS[0], 3 * self.mean_overlap)
        return fit_density(self.gaps, low, GAPS[1]) if GAPS[1] > 3 * low else None


def samples(table: pd.DataFrame, arrays: Arrays, state: str) -> Samples | None:
    """Gaps of all nets in one of the `STATES`; None with fewer than three nets."""
    table = table.dropna(subset=[f"{state}_loss"])
    if len(table) < 3:
        return None
    overlaps, gaps = [], []
    for name, tolerance in zip(table.index, table["tolerance"].to_numpy(), strict=True):
        found = arrays(str(name))[state]
        over = found[found > tolerance]
        overlaps.append(over / over.mean())
        gaps.append(-found[found <= 0])
    return Samples(overlaps, gaps, float(np.mean(table[f"{state}_mean_overlap"].to_numpy(dtype=float))))


def fit_density(values: Sequence[ndarray], low: float, high: float) -> PowerLaw | None:
    """A power law p(x) ~ x^a of the density within [low, high], by maximum likelihood, without bins.

    s = log(x/low) / log(high/low) in [0, 1] has a density ~ e^(t s), t = (a + 1) log(high/low), and the
    likelihood is largest where the mean of s is 1/(1 - e^-t) - 1/t. Errors by resampling whole nets.
    None with fewer than three nets, or ten values within.
    """
    span = np.log(high / low)
    inside = [np.log(v[(v >= low) & (v <= high)] / low) / span for v in values]
    sums = np.array([s.sum() for s in inside])
    counts = np.array([len(s) for s in inside])
    totals = np.array([len(v) for v in values])
    if len(values) < 3 or counts.sum() < 10:
        return None

    def parameters(chosen: ndarray) -> tuple[float, float]:
        """Exponent, and density at x = 1."""
        mean = sums[chosen].sum() / counts[chosen].sum()
        t = brentq(lambda t: _mean(t) - mean, -100, 100)
        b = t / span
        share = counts[chosen].sum() / totals[chosen].sum()
        return b - 1, share * b / (high**b - low**b)

    exponent, prefactor = parameters(np.arange(len(values)))
    drawn = bootstrap(
        (np.arange(len(values)),), parameters, n_resamples=500, vectorized=False, method="percentile", rng=0
    )
    errors = np.asarray(drawn.standard_error).tolist()
    n = int(counts.sum())
    return PowerLaw(exponent, errors[0], prefactor, errors[1], 0.0, 0.0, 0.0, (low, high), n)


def _mean(t: float) -> float:
    """Mean of s in [0, 1] with density ~ e^(t s)."""
    return 0.5 + t / 12 if abs(t) < 1e-4 else 1 / -np.expm1(-t) - 1 / t


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Both exponents, at the last minimum and at the verge."""
    found = []
    for state, words in STATES.items():
        if (s := samples(table, arrays, state)) is None:
            continue
        where = f"{words} ({len(s.gaps)} nets, mean overlap {s.mean_overlap:.1g}), exploratory"
        if (fit := s.theta()) is not None:
            text = f"about 0.3 ({_SOURCE})"
            found.append(Finding(f"θ, {where}", fit.exponent, fit.exponent_error, text, *THETA))
        if (fit := s.gamma()) is not None:
            text = f"about 0.2 ({_SOURCE})"
            found.append(Finding(f"γ, {where}", -fit.exponent, fit.exponent_error, text, *GAMMA))
    return found
