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
NEAR = 1e-3  # loss below which a minimum is taken for one at jamming
OVERLAPS = (0.01, 0.3)  # in units of the mean overlap: below the bulk of the distribution
GAPS = (3.0, 0.5)  # from so many mean overlaps of the net to this, in units of the margin
THETA, GAMMA = (0.1, 0.5), (0.0, 0.4)  # bands in which we say that they agree


@dataclass(frozen=True)
class Samples:
    """Overlaps and gaps of nets near jamming.

    Attributes:
        overlaps: of each net, Δ > tolerance over their mean.
        gaps: of each net, -Δ of satisfied patterns.
        mean_overlap: of each net, in units of the margin.
    """

    overlaps: list[ndarray]
    gaps: list[ndarray]
    mean_overlap: ndarray

    def theta(self) -> PowerLaw | None:
        """P_+ ~ Δ^θ below the mean overlap."""
        return fit_density(self.overlaps, np.full(len(self.overlaps), OVERLAPS[0]), OVERLAPS[1])

    def gamma(self) -> PowerLaw | None:
        """P_- ~ (-Δ)^-γ beyond the overlaps; the exponent is -γ."""
        return fit_density(self.gaps, GAPS[0] * self.mean_overlap, GAPS[1])


def samples(table: pd.DataFrame, arrays: Arrays) -> Samples | None:
    """Gaps of all nets whose last minimum has a loss below `NEAR`; None with fewer than three."""
    table = table.dropna(subset=["jammed_loss"]).query(f"jammed_loss < {NEAR}")
    if len(table) < 3:
        return None
    overlaps, gaps = [], []
    for name, tolerance in zip(table.index, table["tolerance"].to_numpy(), strict=True):
        found = arrays(str(name))["gaps"]
        over = found[found > tolerance]
        overlaps.append(over / over.mean())
        gaps.append(-found[found <= 0])
    return Samples(overlaps, gaps, table["mean_overlap"].to_numpy(dtype=float))


def fit_density(values: Sequence[ndarray], low: ndarray, high: float) -> PowerLaw | None:
    """A power law p(x) ~ x^a of the density between each net's `low` and `high`, by maximum likelihood.

    With b = a + 1 the mean of u = log(x / low) is w m(b w), w = log(high / low), m(t) = 1/(1 - e^-t) - 1/t;
    the likelihood is largest where the sum of u over all nets equals its expectation. Errors by resampling
    whole nets. None with fewer than three nets, or ten values in all.

    Args:
        values: of each net.
        low: of each net; nets with low >= high / 3 are left out.
        high: of all.
    """
    chosen = [(v, start) for v, start in zip(values, low, strict=True) if start < high / 3]
    inside = [np.log(v[(v >= start) & (v <= high)] / start) for v, start in chosen]
    sums, counts = np.array([u.sum() for u in inside]), np.array([len(u) for u in inside])
    totals, start = np.array([len(v) for v, _ in chosen]), np.array([start for _, start in chosen])
    width = np.log(high / start)
    if len(chosen) < 3 or counts.sum() < 10:
        return None

    def parameters(nets: ndarray) -> tuple[float, float]:
        """Exponent, and density at x = 1."""
        n, w = counts[nets], width[nets]
        b = brentq(lambda b: float(np.sum(n * w * _mean(b * w)) - sums[nets].sum()), -20, 20)
        assert isinstance(b, float)
        parts = w if abs(b) < 1e-9 else (high**b - start[nets] ** b) / b
        return b - 1, float(n.sum() / np.sum(totals[nets] * parts))

    everyone = np.arange(len(chosen))
    exponent, prefactor = parameters(everyone)
    drawn = bootstrap((everyone,), parameters, n_resamples=300, vectorized=False, method="percentile", rng=0)
    errors = np.asarray(drawn.standard_error).tolist()
    reach = (float(start.min()), high)
    return PowerLaw(exponent, errors[0], prefactor, errors[1], 0.0, 0.0, 0.0, reach, int(counts.sum()))


def _mean(t: ndarray) -> ndarray:
    """Mean of s in [0, 1] with density ~ e^(t s)."""
    small = np.abs(t) < 1e-4
    safe = np.where(small, 1.0, t)
    return np.where(small, 0.5 + t / 12, 1 / -np.expm1(-safe) - 1 / safe)


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Both exponents."""
    if (s := samples(table, arrays)) is None:
        return []
    where = f"last minima of {len(s.gaps)} nets, mean overlap {np.median(s.mean_overlap):.1g}, exploratory"
    found = []
    if (fit := s.theta()) is not None:
        text = f"about 0.3 ({_SOURCE})"
        found.append(Finding(f"θ, {where}", fit.exponent, fit.exponent_error, text, *THETA))
    if (fit := s.gamma()) is not None:
        text = f"about 0.2 ({_SOURCE})"
        found.append(Finding(f"γ, {where}", -fit.exponent, fit.exponent_error, text, *GAMMA))
    return found
