"""Traces of linear operators by Hutch++."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator

from symnets.observables.curvature.probes import check_square, signs


@dataclass(frozen=True)
class Trace:
    """An estimate of a trace.

    Attributes:
        value: unbiased.
        error: standard error of the part that was sampled, from the scatter of its samples; 0 where
            nothing had to be sampled.
        n_matvecs: products that were made.
    """

    value: float
    error: float
    n_matvecs: int


def trace(operator: LinearOperator, *, n_matvecs: int = 90, generator: torch.Generator) -> Trace:
    """Trace of a symmetric operator: exact on a sketch of its range, sampled on the rest.

        tr A = tr Q^T A Q + E g^T (1 - Q Q^T) A (1 - Q Q^T) g,   Q an orthonormal basis of A S,

    with S and g of random signs; a third of the products goes into each of A S, A Q and A g. For a
    positive semidefinite operator the relative error falls as 1/n_matvecs, Hutchinson's as its root.

    Args:
        operator: ours, scipy's, or another package's of that interface.
        n_matvecs: at least 6; if N or more, the trace is exact, from N products with unit vectors.
        generator: source of the signs.

    Raises:
        ValueError: the operator is not square, or too few products.

    Source: Meyer, Musco, Musco, Woodruff 2021, arXiv:2010.09649.
    """
    n = check_square(operator)
    if n_matvecs < 6:
        raise ValueError(f"n_matvecs: expected at least 6, got {n_matvecs}")
    if n <= n_matvecs:
        columns = np.asarray(operator.matmat(np.eye(n)), dtype=np.float64)
        return Trace(float(np.trace(columns)), 0.0, n)
    third = n_matvecs // 3
    image = np.asarray(operator.matmat(signs(n, third, generator)), dtype=np.float64)
    q, _ = np.linalg.qr(image)
    caught = float(np.sum(q * operator.matmat(q)))
    g = signs(n, n_matvecs - 2 * third, generator)
    g -= q @ (q.T @ g)
    samples = np.asarray(g * operator.matmat(g), dtype=np.float64).sum(axis=0)
    error = float(np.std(samples, ddof=1) / g.shape[1] ** 0.5)
    return Trace(caught + float(np.mean(samples)), error, n_matvecs)
