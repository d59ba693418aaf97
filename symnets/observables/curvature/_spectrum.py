"""Spectra and inertia of dense symmetric matrices, in place and one strip of rows at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from symnets.observables._tangent_kernel._points import ranges

STRIP = 256
"""Rows processed at once: enough for a fast product, few compared with N."""


def add_weighted_gram(
    target: Float[Tensor, "n n"], factors: Float[Tensor, "n k"], weights: Float[Tensor, " k"]
) -> None:
    """Add G diag(w) Gᵀ to the lower half of target, w of any sign: about N² k operations, not 2 N² k."""
    for rows in ranges(len(target), STRIP):
        target[rows, : rows.stop].addmm_(factors[rows] * weights, factors[: rows.stop].T)


def mirror(target: Float[Tensor, "n n"]) -> None:
    """Copy the lower half onto the upper one."""
    for rows in ranges(len(target), STRIP):
        target[: rows.start, rows] = target[rows, : rows.start].T
        corner = target[rows, rows]
        corner.copy_(corner.tril() + corner.tril(-1).T)


def rounding(matrix: Float[Tensor, "*members n n"]) -> Float[Tensor, "*members"]:
    """Bound n ε |H|_F on the rounding error of eigenvalues, with ε of the dtype, in float64."""
    scale = torch.linalg.matrix_norm(matrix).double().cpu()
    return matrix.shape[-1] * torch.finfo(matrix.dtype).eps * scale


def check_symmetric(matrix: Tensor) -> None:
    """Check that a matrix is square, finite and symmetric.

    Raises:
        ValueError: not square, not finite, or not symmetric to √ε |H|_F.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise ValueError(f"matrix: expected shape (..., n, n), got {tuple(matrix.shape)}")
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError(
            "matrix: expected finite numbers, got NaN or infinity; check whether the training diverged"
        )
    worst = max(
        float((matrix[..., rows, :] - matrix[..., rows].mT).abs().amax())
        for rows in ranges(matrix.shape[-1], STRIP)
    )
    if worst > torch.finfo(matrix.dtype).eps ** 0.5 * float(torch.linalg.matrix_norm(matrix).amax()):
        raise ValueError(
            f"matrix: expected a symmetric matrix, entries differ from their transpose by {worst:.3g}"
        )


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues in ascending order."""

    eigenvalues: Float[Tensor, "*members k"]

    @property
    def largest(self) -> Float[Tensor, "*members"]:
        """max |λ|, the spectral norm."""
        return self.eigenvalues.abs().amax(-1)

    def n_below(self, level: float) -> Int[Tensor, "*members"]:
        """Number of λ < level."""
        return (self.eigenvalues < level).sum(-1)

    def n_flat(self, width: float) -> Int[Tensor, "*members"]:
        """Number of |λ| < width, the flat directions of the landscape."""
        return (self.eigenvalues.abs() < width).sum(-1)


def spectrum(matrix: Float[Tensor, "*members n n"]) -> Spectrum:
    """All eigenvalues of a symmetric matrix.

    Raises:
        ValueError: not a square symmetric matrix of finite numbers.
    """
    check_symmetric(matrix)
    narrow = matrix.dtype in (torch.float16, torch.bfloat16)  # LAPACK has none
    return Spectrum(torch.linalg.eigvalsh(matrix.detach().float() if narrow else matrix.detach()))


@dataclass(frozen=True)
class Inertia:
    """Numbers of negative, zero and positive eigenvalues of a symmetric matrix.

    Attributes:
        n_negative: number of λ < -tolerance, the index.
        n_zero: number of |λ| <= tolerance, flat directions.
        n_positive: number of λ > tolerance.
        tolerance: largest |λ| that counts as zero.
    """

    n_negative: Int[Tensor, "*members"]
    n_zero: Int[Tensor, "*members"]
    n_positive: Int[Tensor, "*members"]
    tolerance: Float[Tensor, "*members"]


def inertia(matrix: Float[Tensor, "*members n n"], *, tolerance: float | None = None) -> Inertia:
    """Inertia of a symmetric matrix by two factorisations L D Lᵀ, about n³/3 operations each.

    By Sylvester's law of inertia H + τ and its D have equally many negative eigenvalues, those of H below -τ.
    Likewise the positive eigenvalues of H - τ are those of H above τ. D is diagonal up to blocks of two
    (LAPACK's dsytrf; Bunch and Kaufman 1977, doi:10.1090/S0025-5718-1977-0428694-0).

    Args:
        matrix: symmetric, of any dtype and on any device; the inertia is computed in float64 on the CPU, and
            the result is on the CPU.
        tolerance: τ; by default the rounding error n ε |H|_F, with ε of the dtype of the matrix.

    Raises:
        ValueError: not a square symmetric matrix of finite numbers, or a negative tolerance.

    Example:
        The inertia of a diagonal matrix counts the signs on its diagonal.
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
        positive = min(positive, n - negative)  # both may count an eigenvalue within rounding of ±τ
        counts.append([negative, n - negative - positive, positive])
    negative, zero, positive = torch.tensor(counts).reshape(*matrix.shape[:-2], 3).unbind(-1)
    return Inertia(negative, zero, positive, taus.reshape(matrix.shape[:-2]))


def _signs(matrix: Float[Tensor, "n n"], shift: float) -> tuple[int, int]:
    """Numbers of negative and of positive eigenvalues of matrix + shift."""
    shifted = np.array(matrix.double().numpy(), order="F")
    shifted[np.diag_indices_from(shifted)] += shift
    dsytrf, dsytrf_lwork = get_lapack_funcs(("sytrf", "sytrf_lwork"), (shifted,))
    size, _ = dsytrf_lwork(len(shifted), lower=1)
    factors, pivots, info = dsytrf(shifted, lower=1, lwork=int(size), overwrite_a=1)
    assert info >= 0, info  # info > 0: D has a zero on its diagonal
    alone = np.diagonal(factors)[pivots > 0]
    # Two negative pivots in a row mark a block of two, which has one eigenvalue of each sign.
    pairs = int((pivots < 0).sum()) // 2
    return int((alone < 0).sum()) + pairs, int((alone > 0).sum()) + pairs
