"""Intrinsic dimension of points by their two nearest neighbours, and distances that a kernel defines."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables.kernels._checks import finite, square

_BLOCK = 2**24  # distances held at once


@dataclass(frozen=True)
class IntrinsicDimension:
    """Intrinsic dimension of a set of points.

    Attributes:
        dimension: d, estimated.
        error: standard error d / √k, with k the number of ratios that were not censored.
        n_points: number of points.
        nearest: median distance to the nearest neighbour, the scale at which the dimension was measured.
    """

    dimension: float
    error: float
    n_points: int
    nearest: float


def kernel_distances(kernel: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Distances of patterns in the feature space of a kernel, √(K(x, x) + K(x', x') - 2 K(x, x')).

    Raises:
        ValueError: the kernel is not one square matrix.
    """
    kernel = square(kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel: expected one matrix (n, n), got shape {tuple(kernel.shape)}")
    diagonal = kernel.diagonal()
    return (diagonal[:, None] + diagonal - 2 * kernel).clamp_min(0).sqrt()


def twonn(
    points: Float[Tensor, "n dim"] | None = None,
    *,
    distances: Float[Tensor, "n n"] | None = None,
    censored: float = 0.1,
) -> IntrinsicDimension:
    """Intrinsic dimension by the ratio of distances to the two nearest neighbours (TwoNN).

    Let r_1 and r_2 be the distances of a point to its nearest and second nearest neighbour. If the density of
    points is constant up to r_2, the ratio μ = r_2 / r_1 has the distribution d μ^(-d-1), μ > 1, for every
    value of that density (Facco et al. 2017, doi:10.1038/s41598-017-11873-y). So log μ is exponential with
    rate d, and the maximum-likelihood estimate of d, corrected for bias, is

        d = (k - 1) / (Σ_{i<=k} log μ_i + (n - k) log μ_k),   μ_1 <= ... <= μ_n,

    where the largest n - k ratios, which violate the assumption most, only count as larger than μ_k
    (censored). Without censoring, d = (n - 1) / Σ log μ. In a space of many dimensions r_2 is too large for
    the assumption, and d is underestimated, by about 10 % for 20 dimensions and 1,000 points. The error
    includes neither that nor correlations between neighbours.

    Args:
        points: n points, one in each row, with Euclidean distances.
        distances: distances between all points, instead of points; see `kernel_distances`.
        censored: fraction of the largest ratios that are censored.

    Raises:
        ValueError: both or neither of points and distances, fewer than three points, points that coincide.
    """
    if (points is None) == (distances is None):
        raise ValueError("points, distances: expected one of the two")
    if not 0 <= censored < 1:
        raise ValueError(f"censored: expected a fraction from 0 to below 1, got {censored}")
    given = points if distances is None else distances
    assert given is not None
    if given.ndim != 2 or len(given) < 3 or (points is None and len(given) != given.shape[1]):
        raise ValueError(
            f"points, distances: expected at least three points (n, dim) or their distances (n, n), got "
            f"shape {tuple(given.shape)}"
        )
    given = finite(given, "points" if distances is None else "distances")
    first, second = _two_nearest(given, points is not None)
    if bool((first <= 0).any()):
        row = int((first <= 0).nonzero()[0, 0])
        raise ValueError(
            f"points: expected different points, but the nearest neighbour of number {row} is at distance 0; "
            "remove copies, with torch.unique(points, dim=0)"
        )
    logs = (second / first).log().sort().values
    n = len(logs)
    k = max(2, n - int(censored * n))
    dimension = (k - 1) / float(logs[:k].sum() + (n - k) * logs[k - 1])
    return IntrinsicDimension(dimension, dimension / k**0.5, n, float(first.median()))


def _two_nearest(given: Tensor, are_points: bool) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Distances to the nearest and the second nearest of the other points."""
    n, nearest = len(given), []
    for rows in torch.arange(n, device=given.device).split(max(1, _BLOCK // n)):
        block = torch.cdist(given[rows], given) if are_points else given[rows].clone()
        block[torch.arange(len(rows), device=given.device), rows] = torch.inf
        nearest.append(block.topk(2, largest=False).values)
    first, second = torch.cat(nearest).unbind(1)
    return first, second
