"""The result of a stability measurement: D, G and R of each layer, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import t as student

N_RESAMPLES = 1000
"""Bootstrap resamples of an interval."""


class Interval(NamedTuple):
    """A value and its confidence interval, which may be asymmetric; NaN where undefined.

    `symnets.estimates.Estimate` holds a value and its symmetric standard error. Here both ends are stored,
    because intervals of ratios are symmetric in the logarithm only, and bootstrap intervals not at all.
    """

    value: float
    low: float = np.nan
    high: float = np.nan


def ratio(above: float, below: float) -> float:
    """above / below, or NaN if below is 0."""
    return float(above / below) if below != 0 else np.nan


def delta_method(
    value: float, above: Float[ndarray, " n"], below: Float[ndarray, " n"], confidence: float
) -> Interval:
    """Confidence interval of a ratio of means by the delta method, symmetric in the logarithm of the ratio:

        var(log value) = var_x(a_x / <a> - b_x / <b>) / n,

    with Student's quantile for n - 1 degrees of freedom. The interval of an exact zero is [0, 0].

    Args:
        value: the ratio, <a> / <b>.
        above: a_x, one number for each image; images are the sampling unit.
        below: b_x.
        confidence: probability that the interval covers the true value.
    """
    n = len(above)
    if value == 0 and np.all(above == 0):
        return Interval(0.0, 0.0, 0.0)
    if n < 2 or not np.isfinite(value) or value <= 0:
        return Interval(value)
    influence = above / above.mean() - below / below.mean()
    error = influence.std(ddof=1) / np.sqrt(n)
    factor = float(np.exp(student.ppf((1 + confidence) / 2, n - 1) * error))
    return Interval(value, value / factor, value * factor)


def bootstrapped(
    deformed: Float[ndarray, " n"],
    noisy: Float[ndarray, " n"],
    pairs: Float[ndarray, " m"],
    confidence: float,
    seed: int,
) -> tuple[Interval, Interval, Interval]:
    """D, G and R as ratios of medians, with percentile intervals by the bootstrap over pairs of images.

    Pair k consists of images 2k and 2k + 1; no image is in two pairs, so that pairs are independent.

    Args:
        deformed: squared distance of each image to its deformed version, numerator of D.
        noisy: squared distance of each image to its noisy version, numerator of G.
        pairs: squared distances between the images of each pair.
        confidence: probability that the interval covers the true value.
        seed: seed of the resampling.
    """
    medians = (float(np.median(deformed)), float(np.median(noisy)))
    pair = float(np.median(pairs)) if len(pairs) else np.nan
    values = ratio(medians[0], pair), ratio(medians[1], pair), ratio(*medians)
    m = len(pairs)
    if m < 2:
        return Interval(values[0]), Interval(values[1]), Interval(values[2])
    both = np.stack([deformed[: 2 * m], noisy[: 2 * m]]).reshape(2, m, 2)
    rng, resampled = np.random.default_rng(seed), []
    for chunk in np.array_split(np.arange(N_RESAMPLES), -(-N_RESAMPLES * m // 2**18)):
        rows = rng.integers(m, size=(len(chunk), m))
        d, g = np.median(both[:, rows].reshape(2, len(chunk), -1), axis=2)
        p = np.median(pairs[rows], axis=1)
        resampled.append(np.stack([d, g, d, p, p, g]).reshape(2, 3, -1))
    above, below = np.concatenate(resampled, axis=2)
    # If the denominator is 0 in any resample, the interval is undefined.
    ratios = np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
    limits = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    d, g, r = (
        Interval(value, float(low), float(high)) if np.isfinite(value) else Interval(value)
        for value, low, high in zip(values, *limits, strict=True)
    )
    return d, g, r


@dataclass(frozen=True)
class LayerEstimates:
    """A value for each layer with its confidence interval; NaN where undefined."""

    value: Float[ndarray, " layers"]
    low: Float[ndarray, " layers"]
    high: Float[ndarray, " layers"]

    @classmethod
    def of(cls, intervals: Sequence[tuple[float, float, float]]) -> Self:
        """Estimates from the (value, low, high) of each layer."""
        return cls(*np.array(intervals, dtype=np.float64).T)

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Layers whose value is defined."""
        return ~np.isnan(self.value)


@dataclass(frozen=True)
class Stability:
    """Stability of the layers of a network: changes under deformations and under noise of equal norm.

    With averages over images x, deformations τ, noise η and pairs of images x ≠ z,

        D = <‖f(τx) - f(x)‖²> / <‖f(x) - f(z)‖²>,   G = <‖f(x + η) - f(x)‖²> / <‖f(x) - f(z)‖²>,   R = D / G.
    """

    layers: tuple[str, ...]
    """Names in the order of execution; the output of the model is called "output" and comes last."""
    D: LayerEstimates
    """Squared change under deformations, relative to the squared distance of two images."""
    G: LayerEstimates
    """Squared change under noise, relative to the squared distance of two images."""
    R: LayerEstimates
    """Relative stability; 1 for f(x) = x, small if f is less sensitive to deformations than to noise."""
    n_images: int
    """Number of images."""
    n_draws: int
    """Deformations of each image, and as many noises."""
    temperature: float
    """Temperature of the field; NaN if the field has none."""
    delta: float
    """Exact root mean square displacement in pixels; NaN if the field does not define it."""
    noise_norm: float
    """Mean ‖η‖, in units of the pixel values."""
    noise: str
    """Norm of the noise: "per_image" or "mean"."""
    average: str
    """Kind of average: "mean", "median" or "reference"."""
    batch_norm: str
    """Statistics of batch normalisations: "running" or "batch"."""
    confidence: float
    """Confidence level of the intervals."""
    notes: tuple[str, ...] = ()
    """Which quantities are undefined and which layers are not measured, and why."""

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Layers for which D, G and R are all defined."""
        return self.D.defined & self.G.defined & self.R.defined

    def table(self) -> pd.DataFrame:
        """A row for each layer, with columns D, D_low, D_high, G, G_low, ..., R_high."""
        columns = {}
        for name, estimate in self._estimates():
            columns |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return pd.DataFrame(columns, index=pd.Index(self.layers, name="layer"))

    def row(self, prefix: str = "") -> dict[str, float]:
        """All numbers by name, for a table of runs.

        Keys are "D", "D_low", ... for the output, "conv1/D", ... for a layer, "delta" and "temperature", each
        after `prefix`.
        """
        row = {}
        for layer, numbers in self.table().iterrows():
            start = prefix if layer == self.layers[-1] else f"{prefix}{layer}/"
            row |= {f"{start}{name}": float(number) for name, number in numbers.items()}
        return row | {f"{prefix}delta": self.delta, f"{prefix}temperature": self.temperature}

    def __str__(self) -> str:
        table = pd.DataFrame(index=pd.Index(self.layers))
        for name, e in self._estimates():
            table[name] = [
                f"{v:.4g}" if np.isnan(low) else f"{v:.4g} [{low:.4g}, {high:.4g}]"
                for v, low, high in zip(e.value, e.low, e.high, strict=True)
            ]
        head = (
            f"{self.n_images} images x {self.n_draws} draws, delta {self.delta:.4g} px "
            f"(T = {self.temperature:.4g}), noise {self.noise}, average {self.average}, "
            f"{self.confidence:.0%} intervals"
        )
        return "\n".join([head, table.to_string(), *self.notes])

    def _estimates(self) -> list[tuple[str, LayerEstimates]]:
        return [("D", self.D), ("G", self.G), ("R", self.R)]
