"""Gaussian random fields at given points."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from symnets.data._decision_rule import nested_gaussian

Covariance = Literal["laplace", "matern32", "gaussian"]
"""Names of covariance functions, see `covariance_matrix`."""


def covariance_matrix(
    x1: Float[Tensor, "points dim"],
    x2: Float[Tensor, "others dim"],
    covariance: Covariance = "laplace",
    *,
    length: float = 1.0,
) -> Float[Tensor, "points others"]:
    """Covariance matrix of a random field of unit variance at two sets of points, k(|x - x'| / length).

    - "laplace": k(r) = exp(-r), with a cusp at r = 0.
    - "matern32": k(r) = (1 + √3 r) exp(-√3 r).
    - "gaussian": k(r) = exp(-r²/2), smooth.

    Args:
        x1: points of the rows.
        x2: points of the columns.
        covariance: name of the function k of r = |x - x'| / length.
        length: correlation length, in the unit of the points.

    Raises:
        ValueError: an unknown covariance, or a length that is not positive.
    """
    if covariance not in get_args(Covariance):
        raise ValueError(f"covariance: expected one of {get_args(Covariance)}, got {covariance!r}")
    if not length > 0:
        raise ValueError(f"length: expected more than 0, got {length}")
    r = torch.cdist(x1, x2, compute_mode="donot_use_mm_for_euclid_dist") / length
    if covariance == "laplace":
        return torch.exp(-r)
    if covariance == "gaussian":
        return torch.exp(-r.square() / 2)
    return (1 + 3**0.5 * r) * torch.exp(-(3**0.5) * r)


def gaussian_field(
    x: Float[Tensor, "points dim"],
    *,
    generator: Generator,
    covariance: Covariance = "laplace",
    length: float = 1.0,
) -> Float[Tensor, "points"]:
    """Values of one centred Gaussian random field at the points, jointly sampled.

    The values are computed with the Cholesky factor of the covariance matrix, with 1e-10 added to its
    diagonal, in O(n³) operations. The first values do not depend on the number of points that follow, except
    for rounding: a field at m > n points, with a generator in the same state, continues the field at the
    first n points.

    Args:
        x: points; the field is computed in float64, on their device.
        generator: random generator of the field, on any device.
        covariance: name of the covariance, see `covariance_matrix`.
        length: correlation length, in the unit of the points.
    """
    x = x.double()
    matrix = covariance_matrix(x, x, covariance, length=length)
    factor = torch.linalg.cholesky(matrix + 1e-10 * torch.eye(len(x), dtype=x.dtype, device=x.device))
    return factor @ nested_gaussian(len(x), 1, generator).to(x.device)[:, 0]
