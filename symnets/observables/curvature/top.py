"""Extreme eigenvalues of linear operators, with their vectors."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator, eigsh

from symnets.observables.curvature.probes import check_square


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues in descending order, and their vectors as columns."""

    values: Float[ndarray, " k"]
    vectors: Float[ndarray, "N k"]


def top_eigenpairs(
    operator: LinearOperator,
    k: int = 6,
    *,
    which: Literal["largest", "smallest", "magnitude"] = "largest",
    tolerance: float = 0.0,
    seed: int = 0,
) -> Eigenpairs:
    """The k largest eigenvalues of a symmetric operator (or smallest, or largest in magnitude).

    scipy's `eigsh` (ARPACK) from a vector that depends on the seed alone.

    Args:
        operator: ours, scipy's, or another package's of that interface.
        k: fewer than N.
        which: end of the spectrum.
        tolerance: relative, 0 for machine precision.
        seed: of the first vector.

    Raises:
        ValueError: the operator is not square, or k does not fit.
    """
    n = check_square(operator)
    if not 1 <= k < n:
        raise ValueError(f"k: expected 1 to {n - 1} for an operator of size {n}, got {k}")
    ends = {"largest": "LA", "smallest": "SA", "magnitude": "LM"}
    if which not in ends:
        raise ValueError(f"which: expected one of {', '.join(ends)}, got {which!r}")
    start = np.random.default_rng(seed).standard_normal(n).astype(operator.dtype or np.float64)
    values, vectors = eigsh(operator, k, which=ends[which], v0=start, tol=tolerance)  # pyright: ignore
    order = np.argsort(values)[::-1]
    return Eigenpairs(values[order], vectors[:, order])
