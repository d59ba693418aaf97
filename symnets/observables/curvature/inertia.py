"""Inertia: how many eigenvalues are negative, zero and positive, without finding them."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
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
    H - τ has as many positive ones as H above τ. D is diagonal up to blocks of two (LAPACK's dsytrf;
    Bunch and Kaufman 1977, doi:10.1090/S0025-5718-1977-0428694-0).

    Args:
        matrix: symmetric; of float32 too, and on any device: the work is in float64 on the CPU, where the
            matrix of a member is brought once, and where the result is.
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
    n = matrix.shape[-1]
    counts = []
    for h, t in zip((one.cpu() for one in flat), taus, strict=True):
        negative, positive = _signs(h, float(t))[0], _signs(h, -float(t))[1]
        positive = min(positive, n - negative)  # the two may disagree on an eigenvalue nearer than rounding
        counts.append([negative, n - negative - positive, positive])
    negative, zero, positive = torch.tensor(counts).reshape(*matrix.shape[:-2], 3).unbind(-1)
    return Inertia(negative, zero, positive, taus.reshape(matrix.shape[:-2]))


def _signs(matrix: Float[Tensor, "n n"], shift: float) -> tuple[int, int]:
    """Numbers of negative and of positive eigenvalues of the matrix plus a shift."""
    shifted = np.array(matrix.double().numpy(), order="F")
    shifted[np.diag_indices_from(shifted)] += shift
    dsytrf, dsytrf_lwork = get_lapack_funcs(("sytrf", "sytrf_lwork"), (shifted,))
    size, _ = dsytrf_lwork(len(shifted), lower=1)
    factors, pivots, info = dsytrf(shifted, lower=1, lwork=int(size), overwrite_a=1)
    assert info >= 0, info  # above zero: singular, and D has a zero on its diagonal
    alone = np.diagonal(factors)[pivots > 0]
    # A negative pivot, twice in a row, marks a block of two: taken only where its determinant is negative.
    pairs = int((pivots < 0).sum()) // 2
    return int((alone < 0).sum()) + pairs, int((alone > 0).sum()) + pairs
