"""Densities of eigenvalues of linear operators by stochastic Lanczos quadrature."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator

from symnets.observables.curvature.probes import check_square, signs


@dataclass(frozen=True)
class Density:
    """A density of eigenvalues ρ(λ) = (1/N) Σ_i δ(λ - λ_i), as weighted points, one set a probe.

    Attributes:
        nodes: points λ, eigenvalues of tridiagonal matrices.
        weights: of the points; each row sums to 1. Points of weight 0 fill rows that ended early.
    """

    nodes: Float[ndarray, "probes steps"]
    weights: Float[ndarray, "probes steps"]

    def moment(self, order: int) -> float:
        """∫ λ^k ρ dλ = tr A^k / N; exact for each probe vector as long as k < 2 steps."""
        return float((self.weights * self.nodes**order).sum(1).mean())

    def fraction_below(self, level: float) -> float:
        """∫ ρ over λ < level."""
        return float((self.weights * (self.nodes < level)).sum(1).mean())

    def smooth(self, grid: Float[ndarray, " points"], width: float) -> Float[ndarray, " points"]:
        """ρ on a grid, every point widened to a Gaussian of this standard deviation."""
        if not width > 0:
            raise ValueError(f"width: expected a number > 0, got {width}")
        distance = (np.asarray(grid)[:, None] - self.nodes.reshape(-1)) / width
        bells = np.exp(-0.5 * distance**2) / (width * np.sqrt(2 * np.pi))
        return bells @ self.weights.reshape(-1) / len(self.nodes)


def lanczos_density(
    operator: LinearOperator, *, n_probes: int = 10, n_steps: int = 80, generator: torch.Generator
) -> Density:
    """Density of the eigenvalues of a symmetric operator.

    From each of some random vectors, `n_steps` of Lanczos' iteration with full re-orthogonalisation;
    the Ritz values are the nodes of a Gauss quadrature of the density as the vector sees it.
    n_probes × n_steps products, n_steps × N numbers. Density near the edges is resolved first.

    Args:
        operator: ours, scipy's, or another package's of that interface.
        n_probes: the error of a moment falls as n_probes^(-1/2).
        n_steps: at most N.
        generator: source of the vectors, of signs ±1.

    Raises:
        ValueError: the operator is not square, or there is nothing to do.

    Source: Ubaru, Chen, Saad 2017 (doi:10.1137/16M1104974).
    """
    n = check_square(operator)
    if n_probes < 1 or n_steps < 1:
        raise ValueError(f"n_probes, n_steps: expected at least 1, got {n_probes}, {n_steps}")
    n_steps = min(n_steps, n)
    nodes, weights = np.zeros((n_probes, n_steps)), np.zeros((n_probes, n_steps))
    for probe in range(n_probes):
        diagonal, off = _tridiagonal(operator, signs(n, 1, generator)[:, 0], n_steps)
        values, vectors = eigh_tridiagonal(diagonal, off)
        nodes[probe, : len(values)], weights[probe, : len(values)] = values, vectors[0] ** 2
    return Density(nodes, weights)


def _tridiagonal(operator: LinearOperator, start: ndarray, n_steps: int) -> tuple[ndarray, ndarray]:
    """Diagonal and off-diagonal of Q^T A Q; shorter where the space is exhausted."""
    n, single = len(start), operator.dtype == np.float32
    rounding = float(np.finfo(np.float32 if single else np.float64).eps)
    basis = np.zeros((n_steps, n))
    basis[0] = start / np.linalg.norm(start)
    diagonal, off = [], []
    for step in range(n_steps):
        new = np.asarray(operator.matvec(basis[step]), dtype=np.float64)
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
