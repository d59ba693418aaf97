"""Estimators for linear operators: extreme eigenvalues, trace (Hutch++), spectral density (Lanczos)."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from symnets.memory import check_memory


def signs(n: int, columns: int, generator: torch.Generator) -> Float[ndarray, "n columns"]:
    """Independent random signs ±1, in float64; a GPU's generator gives other signs than the CPU's."""
    bits = torch.randint(0, 2, (columns, n), generator=generator, device=generator.device)
    return (2.0 * bits.cpu().numpy() - 1).T


def check_square(operator: LinearOperator) -> int:
    """Size N of a real operator N × N.

    Raises:
        ValueError: not an operator, not square, or not real.
    """
    shape = getattr(operator, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != shape[1] or not hasattr(operator, "matvec"):
        raise ValueError(
            f"operator: expected a square LinearOperator, got {type(operator).__name__} of shape {shape}; "
            "wrap matrices with scipy.sparse.linalg.aslinearoperator"
        )
    if np.issubdtype(operator.dtype or np.float64, np.complexfloating):
        raise ValueError(f"operator: expected a real operator, got {operator.dtype}")
    return shape[0]


def _finite(product: Any) -> ndarray:
    """A product in float64.

    Raises:
        ValueError: it is not finite.
    """
    product = np.asarray(product, dtype=np.float64)
    if not np.isfinite(product).all():
        raise ValueError(
            "operator: expected finite products, got NaN or infinity; check whether the training diverged"
        )
    return product


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues in descending order, with eigenvectors as columns."""

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
    """The k largest (or smallest, or largest in magnitude) eigenpairs of a symmetric operator.

    Computed by scipy's `eigsh` (ARPACK) from a start vector that depends on the seed alone. For N <= 20 or
    N <= 2 k the matrix is computed by N products with unit vectors and diagonalised.

    Args:
        operator: any `scipy.sparse.linalg.LinearOperator`, N x N.
        k: number of eigenpairs, at most N.
        which: end of the spectrum.
        tolerance: relative tolerance of the eigenvalues, 0 for machine precision.
        seed: seed of the start vector.

    Raises:
        ValueError: the operator is not square, k is not between 1 and N, or a product is not finite.
        RuntimeError: ARPACK did not converge.

    Example:
        All eigenvalues of an operator that is zero are 0.
    """
    n = check_square(operator)
    if not 1 <= k <= n:
        raise ValueError(f"k: expected 1 to {n} for an operator of size {n}, got {k}")
    ends = {"largest": "LA", "smallest": "SA", "magnitude": "LM"}
    if which not in ends:
        raise ValueError(f"which: expected one of {', '.join(ends)}, got {which!r}")
    start = np.random.default_rng(seed).standard_normal(n).astype(operator.dtype or np.float64)
    image = _finite(operator.matvec(start))
    if not image.any():  # ARPACK refuses to start
        return Eigenpairs(np.zeros(k, start.dtype), np.eye(n, k, dtype=start.dtype))
    if n <= max(2 * k, SMALL):
        check_memory(
            f"top_eigenpairs: a matrix of {n} x {n} numbers, since k={k},",
            24 * n**2,
            "ask for fewer eigenpairs",
        )
        columns = _finite(operator.matmat(np.eye(n, dtype=start.dtype)))
        values, vectors = np.linalg.eigh((columns + columns.T) / 2)
        keep = {"largest": values, "smallest": -values, "magnitude": np.abs(values)}[which].argsort()[-k:]
        values, vectors = values[keep], vectors[:, keep]
    else:
        try:
            values, vectors = eigsh(operator, k, which=ends[which], v0=start, tol=tolerance)  # pyright: ignore
        except ArpackNoConvergence as error:
            raise RuntimeError(
                f"top_eigenpairs: {len(error.eigenvalues)} of {k} eigenpairs converged; ask for fewer, or "
                "for less accuracy with tolerance=1e-6"
            ) from error
    order = np.argsort(values)[::-1]
    return Eigenpairs(values[order], vectors[:, order])


SMALL = 20
"""Size up to which all eigenpairs are computed, because ARPACK would take as many products."""


@dataclass(frozen=True)
class Trace:
    """Estimate of a trace.

    Attributes:
        value: unbiased estimate.
        error: standard error of the sampled part, from the scatter of its samples; 0 for an exact trace.
        n_matvecs: number of products used.
    """

    value: float
    error: float
    n_matvecs: int


def trace(operator: LinearOperator, *, n_matvecs: int = 90, generator: torch.Generator) -> Trace:
    """Trace of a symmetric operator by Hutch++: exact on a sketch of its range, sampled on the complement.

        tr A = tr QᵀAQ + E gᵀ(1 - QQᵀ) A (1 - QQᵀ)g,   Q an orthonormal basis of A S,

    with S and g of random signs; a third of the products is used for each of A S, A Q and A g. For a positive
    semidefinite operator the relative error falls as 1/n_matvecs, that of Hutchinson's estimator as
    1/√n_matvecs.

    Args:
        operator: any `scipy.sparse.linalg.LinearOperator`.
        n_matvecs: at least 6; with N or more the trace is exact, from N products with unit vectors.
        generator: source of the signs.

    Raises:
        ValueError: the operator is not square, or n_matvecs is below 6.

    Source: Meyer, Musco, Musco, Woodruff 2021, arXiv:2010.09649.
    """
    n = check_square(operator)
    if n_matvecs < 6:
        raise ValueError(f"n_matvecs: expected at least 6, got {n_matvecs}")
    if n <= n_matvecs:
        columns = _finite(operator.matmat(np.eye(n)))
        return Trace(float(np.trace(columns)), 0.0, n)
    third = n_matvecs // 3
    image = _finite(operator.matmat(signs(n, third, generator)))
    q, _ = np.linalg.qr(image)
    on_range = float(np.sum(q * operator.matmat(q)))
    g = signs(n, n_matvecs - 2 * third, generator)
    g -= q @ (q.T @ g)
    samples = np.asarray(g * operator.matmat(g), dtype=np.float64).sum(axis=0)
    error = float(np.std(samples, ddof=1) / g.shape[1] ** 0.5)
    return Trace(on_range + float(np.mean(samples)), error, n_matvecs)


@dataclass(frozen=True)
class Density:
    """Spectral density ρ(λ) = (1/N) Σ_i δ(λ - λ_i), as weighted points, one set for each probe vector.

    Attributes:
        nodes: points λ, the eigenvalues of tridiagonal matrices.
        weights: weights of the points; each row sums to 1. If the iteration of a probe vector ended early,
            its row is padded with points of weight 0.
    """

    nodes: Float[ndarray, "probes steps"]
    weights: Float[ndarray, "probes steps"]

    def moment(self, order: int) -> float:
        """Moment ∫ λ^k ρ dλ = tr A^k / N of order k; without quadrature error if k < 2 steps."""
        return float((self.weights * self.nodes**order).sum(1).mean())

    def fraction_below(self, level: float) -> float:
        """Fraction of eigenvalues with λ < level."""
        return float((self.weights * (self.nodes < level)).sum(1).mean())

    def smooth(self, grid: Float[ndarray, " points"], width: float) -> Float[ndarray, " points"]:
        """ρ on a grid, with every point broadened to a Gaussian of standard deviation `width`.

        Raises:
            ValueError: a width that is not positive.
        """
        if not width > 0:
            raise ValueError(f"width: expected a number > 0, got {width}")
        distance = (np.asarray(grid)[:, None] - self.nodes.reshape(-1)) / width
        gaussians = np.exp(-0.5 * distance**2) / (width * np.sqrt(2 * np.pi))
        return gaussians @ self.weights.reshape(-1) / len(self.nodes)


def lanczos_density(
    operator: LinearOperator, *, n_probes: int = 10, n_steps: int = 80, generator: torch.Generator
) -> Density:
    """Spectral density of a symmetric operator by stochastic Lanczos quadrature.

    From each of `n_probes` random vectors, `n_steps` steps of the Lanczos iteration are made with full
    re-orthogonalisation. The Ritz values are the nodes of a Gauss quadrature of the density that is weighted
    with the vector. The estimate takes n_probes × n_steps products and memory for n_steps × N numbers. The
    edges of the spectrum converge first.

    Args:
        operator: any `scipy.sparse.linalg.LinearOperator`.
        n_probes: number of random vectors; the error of a moment falls as n_probes^(-1/2).
        n_steps: number of steps from each vector; numbers above N are reduced to N.
        generator: source of the vectors of signs ±1.

    Raises:
        ValueError: the operator is not square, or n_probes or n_steps is below 1.

    Source: Ubaru, Chen, Saad 2017 (doi:10.1137/16M1104974).
    """
    n = check_square(operator)
    if n_probes < 1 or n_steps < 1:
        raise ValueError(f"n_probes, n_steps: expected at least 1, got {n_probes}, {n_steps}")
    n_steps = min(n_steps, n)
    check_memory(
        f"lanczos_density: {n_steps} vectors of {n} numbers", 8 * n_steps * n, "take fewer steps (n_steps)"
    )
    nodes, weights = np.zeros((n_probes, n_steps)), np.zeros((n_probes, n_steps))
    for probe in range(n_probes):
        diagonal, off = _tridiagonal(operator, signs(n, 1, generator)[:, 0], n_steps)
        values, vectors = eigh_tridiagonal(diagonal, off)
        nodes[probe, : len(values)], weights[probe, : len(values)] = values, vectors[0] ** 2
    return Density(nodes, weights)


def _tridiagonal(operator: LinearOperator, start: ndarray, n_steps: int) -> tuple[ndarray, ndarray]:
    """Diagonal and off-diagonal of QᵀAQ; shorter if the Krylov space is exhausted."""
    n, single = len(start), operator.dtype == np.float32
    rounding = float(np.finfo(np.float32 if single else np.float64).eps)
    basis = np.zeros((n_steps, n))
    basis[0] = start / np.linalg.norm(start)
    diagonal, off = [], []
    for step in range(n_steps):
        new = _finite(operator.matvec(basis[step]))
        norm = np.linalg.norm(new)
        diagonal.append(float(basis[step] @ new))
        for _ in range(2):  # twice is enough (Kahan)
            new = new - basis[: step + 1].T @ (basis[: step + 1] @ new)
        left = float(np.linalg.norm(new))
        scale = max(float(norm), *np.abs(diagonal), *off, 0.0)
        if step + 1 == n_steps or left <= n**0.5 * rounding * scale:
            break
        off.append(left)
        basis[step + 1] = new / left
    return np.array(diagonal), np.array(off)
