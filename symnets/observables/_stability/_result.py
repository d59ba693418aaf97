"""Confidence intervals of ratios; images are the sampling unit.

Stability: D, G and R of a network's layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import t as student

RESAMPLES = 1000


class Interval(NamedTuple):
    """A number and its confidence interval; NaN where undefined."""

    value: float
    low: float = np.nan
    high: float = np.nan


def ratio(above: float, below: float) -> float:
    """above / below; NaN where below is 0."""
    return float(above / below) if below != 0 else np.nan


def delta_method(
    value: float, above: Float[ndarray, " n"], below: Float[ndarray, " n"], confidence: float
) -> Interval:
    """Interval of a ratio of means, symmetric in its logarithm:

        var(log value) = var_x(a_x / <a> - b_x / <b>) / n,

    with Student's quantile for n - 1 degrees of freedom. An exact zero has no width.

    Args:
        value: the ratio, <a> / <b>.
        above: a_x, one number an image.
        below: b_x.
        confidence: probability that the interval covers the truth.
    """
    n = len(above)
    if value == 0 and np.all(above == 0):
        return Interval(0.0, 0.0, 0.0)
    if n < 2 or not np.isfinite(value) or value <= 0:
        return Interval(value)
    influence = above / above.mean() - below / below.mean()
    error = influence.std(ddof=1) / np.sqrt(n)
    reach = float(np.exp(student.ppf((1 + confidence) / 2, n - 1) * error))
    return Interval(value, value / reach, value * reach)


def bootstrapped(
    deformed: Float[ndarray, " n"],
    noisy: Float[ndarray, " n"],
    pairs: Float[ndarray, " m"],
    confidence: float,
    seed: int,
) -> tuple[Interval, Interval, Interval]:
    """D, G, R as ratios of medians, with percentile intervals from resampled pairs of images.

    Pair k is images 2k and 2k + 1; pairs share nothing, so that they are drawn independently.

    Args:
        deformed: squared distance of each image, numerator of D.
        noisy: that of G.
        pairs: squared distances of the pairs.
        confidence: probability that the interval covers the truth.
        seed: of the resampling.
    """
    medians = (float(np.median(deformed)), float(np.median(noisy)))
    pair = float(np.median(pairs)) if len(pairs) else np.nan
    values = ratio(medians[0], pair), ratio(medians[1], pair), ratio(*medians)
    m = len(pairs)
    if m < 2:
        return Interval(values[0]), Interval(values[1]), Interval(values[2])
    both = np.stack([deformed[: 2 * m], noisy[: 2 * m]]).reshape(2, m, 2)
    rng, drawn = np.random.default_rng(seed), []
    for some in np.array_split(np.arange(RESAMPLES), -(-RESAMPLES * m // 2**18)):
        rows = rng.integers(m, size=(len(some), m))
        d, g = np.median(both[:, rows].reshape(2, len(some), -1), axis=2)
        p = np.median(pairs[rows], axis=1)
        drawn.append(np.stack([d, g, d, p, p, g]).reshape(2, 3, -1))
    above, below = np.concatenate(drawn, axis=2)
    # A resample with a median of 0 below has no ratio, and then nor has the interval.
    ratios = np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)
    limits = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    found = [
        Interval(value, float(low), float(high)) if np.isfinite(value) else Interval(value)
        for value, low, high in zip(values, *limits, strict=True)
    ]
    return found[0], found[1], found[2]


@dataclass(frozen=True)
class LayerEstimates:
    """A number for each layer with its confidence interval; NaN where it is undefined."""

    value: Float[ndarray, " layers"]
    low: Float[ndarray, " layers"]
    high: Float[ndarray, " layers"]

    @classmethod
    def of(cls, intervals: Sequence[tuple[float, float, float]]) -> Self:
        """From (value, low, high) of each layer."""
        return cls(*np.array(intervals, dtype=np.float64).T)

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Where there is a value."""
        return ~np.isnan(self.value)


@dataclass(frozen=True)
class Stability:
    """How much deformations and noise of equal norm move the outputs of layers.

    With averages over images x, deformations τ, noise η and pairs of images x ≠ z,

        D = <‖f(τx) - f(x)‖²> / <‖f(x) - f(z)‖²>,   G = <‖f(x + η) - f(x)‖²> / <‖f(x) - f(z)‖²>,   R = D / G.
    """

    layers: tuple[str, ...]
    """Names in the order of execution; the model's own output is "output" and the last."""
    D: LayerEstimates
    """Change under deformations, relative to the distance of two images."""
    G: LayerEstimates
    """Change under noise, relative to the distance of two images."""
    R: LayerEstimates
    """Relative stability; 1 for f(x) = x, small if f ignores deformations more than it ignores noise."""
    n_images: int
    n_draws: int
    """Deformations, and noises, an image."""
    temperature: float
    """T of the field; NaN if the field does not tell."""
    delta: float
    """Root of the mean squared displacement in pixels, exactly; NaN if the field does not tell."""
    noise_norm: float
    """Mean ‖η‖, in units of the pixels."""
    noise: str
    """Norm of the noise: "per_image" or "mean"."""
    average: str
    """Kind of average: "mean", "median" or "reference"."""
    batch_norm: str
    """Statistics of batch normalisations: "running" or "batch"."""
    confidence: float
    """Of the intervals."""
    notes: tuple[str, ...] = ()
    """What is undefined and why."""

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Layers of which D, G and R all exist."""
        return self.D.defined & self.G.defined & self.R.defined

    def table(self) -> pd.DataFrame:
        """A row for each layer: D, D_low, D_high, the same of G and R."""
        columns = {}
        for name, estimate in self._estimates():
            columns |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return pd.DataFrame(columns, index=pd.Index(self.layers, name="layer"))

    def row(self, prefix: str = "") -> dict[str, float]:
        """Numbers by name, for the row of an experiment: "D", "D_low", ... of the output, "conv1/D", ...
        of a layer, "delta" and "temperature".
        """
        found = {}
        for layer, numbers in self.table().iterrows():
            place = prefix if layer == self.layers[-1] else f"{prefix}{layer}/"
            found |= {f"{place}{name}": float(number) for name, number in numbers.items()}
        return found | {f"{prefix}delta": self.delta, f"{prefix}temperature": self.temperature}

    def __str__(self) -> str:
        shown = pd.DataFrame(index=pd.Index(self.layers))
        for name, e in self._estimates():
            shown[name] = [
                f"{v:.4g}" if np.isnan(low) else f"{v:.4g} [{low:.4g}, {high:.4g}]"
                for v, low, high in zip(e.value, e.low, e.high, strict=True)
            ]
        head = (
            f"{self.n_images} images x {self.n_draws} draws, delta {self.delta:.4g} px "
            f"(T = {self.temperature:.4g}), noise {self.noise}, average {self.average}, "
            f"{self.confidence:.0%} intervals"
        )
        return "\n".join([head, shown.to_string(), *self.notes])

    def _estimates(self) -> list[tuple[str, LayerEstimates]]:
        return [("D", self.D), ("G", self.G), ("R", self.R)]
