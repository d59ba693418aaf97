"""Confidence intervals of ratios; images are the sampling unit."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
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
