"""Inertia: how many eigenvalues are negative, zero and positive, without finding them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from symnets.observables.curvature.rounding import check_symmetric, rounding


@dataclass(frozen=True)
class Inertia:
    """Numbers of eigenvalues below -tolerance, between, and above it.

    Attributes:
        n_negative: also called the index.
        n_zero: flat directions.
        n_positive: the rest.
        tolerance: what counted as zero.
    """

    n_negative: Int[Tensor, "*members"]
    n_zero: Int[Tensor, "*members"]
    n_positive: Int[Tensor, "*members"]
    tolerance: Float[Tensor, "*members"]


def inertia(matrix: Float[Tensor, "*members n n"], *, tolerance: float | None = None) -> Inertia:
    """Inertia of a symmetric matrix by two factorisations L D L^T, about n³/3 operations each.

    Sylvester's law: H + τ and its D have equally many negative eigenvalues, namely those of H below -τ;
    and H - τ those below τ. D has blocks of one or two (LAPACK's dsytrf, Bunch and Kaufman 1977).

    Args:
        matrix: symmetric; of float32 too, the work is in float64 on the CPU.
        tolerance: τ; by default that of rounding, n ε |H|_F with ε of the dtype of the matrix.

    Raises:
        ValueError: not a square symmetric matrix of finite numbers, or a negative tolerance.

    Example:
        A diagonal matrix tells its inertia by the signs on the diagonal.
    """
    check_symmetric(matrix)
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance: expected a number >= 0, got {tolerance}")
    flat = matrix.detach().reshape(-1, *matrix.shape[-2:])
    taus = rounding(flat) if tolerance is None else torch.full((len(flat),), tolerance, dtype=torch.float64)
    counts = [[_n_below(h, -float(t)), _n_below(h, float(t))] for h, t in zip(flat, taus, strict=True)]
    lower, upper = torch.tensor(counts).reshape(*matrix.shape[:-2], 2).unbind(-1)
    upper = torch.maximum(lower, upper)  # τ = 0 counts twice the same, in another rounding
    n = matrix.shape[-1]
    return Inertia(lower, upper - lower, n - upper, taus.reshape(matrix.shape[:-2]))


def _n_below(matrix: Float[Tensor, "n n"], level: float) -> int:
    """Number of eigenvalues below a level."""
    shifted = np.array(matrix.cpu().double().numpy(), order="F")
    shifted[np.diag_indices_from(shifted)] -= level
    dsytrf, dsytrf_lwork = get_lapack_funcs(("sytrf", "sytrf_lwork"), (shifted,))
    size, _ = dsytrf_lwork(len(shifted), lower=1)
    factors, pivots, info = dsytrf(shifted, lower=1, lwork=int(size), overwrite_a=1)
    assert info >= 0, info
    return _n_negative_blocks(factors, pivots)


def _n_negative_blocks(factors: Float[ndarray, "n n"], pivots: Int[ndarray, "n"]) -> int:
    """Negative eigenvalues of D; a negative pivot, twice in a row, marks a block of two."""
    d = np.diagonal(factors)
    first, second = np.flatnonzero(pivots < 0).reshape(-1, 2).T
    determinant = d[first] * d[second] - factors[second, first] ** 2
    both = (determinant > 0) & (d[first] + d[second] < 0)
    return int((d[pivots > 0] < 0).sum() + (determinant < 0).sum() + 2 * both.sum())
