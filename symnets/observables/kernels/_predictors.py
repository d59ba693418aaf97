"""Predictors of a fixed kernel: ridge regression and support vector machines."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from symnets.data import check_binary_labels
from symnets.observables.kernels._checks import columns, one_column, square, test_rows


@dataclass(frozen=True)
class KernelRegression:
    """Ridge regression with a kernel, f(x) = Σ_i K(x, x_i) c_i.

    Attributes:
        coefficients: c, of the shape of the labels.
        outputs: f on the training patterns.
        test_outputs: f on the test patterns; None without a test kernel.
        rank: number of eigenvectors that were used, n unless the kernel is singular.
    """

    coefficients: Float[Tensor, "n *outputs"]
    outputs: Float[Tensor, "n *outputs"]
    test_outputs: Float[Tensor, "m *outputs"] | None
    rank: int


def kernel_regression(
    kernel: Float[Tensor, "n n"],
    labels: Float[Tensor, "n *outputs"],
    test_kernel: Float[Tensor, "m n"] | None = None,
    *,
    ridge: float = 0.0,
) -> KernelRegression:
    """Exact ridge regression with a kernel, c = (K + ridge)^-1 y.

    Without ridge it is the interpolation of least norm, and the end of gradient flow on the squared error
    from f = 0 (`kernel_flow`). If the matrix is not positive definite to rounding, the pseudoinverse is
    taken: eigenvectors with eigenvalues below n ε λ_max are left out.

    Args:
        kernel: K of the training patterns, symmetric positive semidefinite.
        labels: y, (n,) or (n, outputs).
        test_kernel: kernel of each test pattern (row) with the training patterns.
        ridge: added to the diagonal; it is not multiplied by n.

    Raises:
        ValueError: shapes that do not fit, or a negative ridge.
    """
    kernel = square(kernel)
    if not (ridge >= 0 and math.isfinite(ridge)):
        raise ValueError(f"ridge: expected a number >= 0, got {ridge}")
    n = kernel.shape[-1]
    y, rows = columns(labels, n), test_rows(test_kernel, n)
    regular = kernel + ridge * torch.eye(n, dtype=kernel.dtype, device=kernel.device)
    factor, failed = torch.linalg.cholesky_ex(regular)
    rank = n
    smallest = factor.diagonal().min() / factor.diagonal().max()
    if int(failed) == 0 and float(smallest) ** 2 > n * torch.finfo(kernel.dtype).eps:
        coefficients = torch.cholesky_solve(y, factor)
    else:
        values, vectors = torch.linalg.eigh(regular)
        used = values > n * torch.finfo(kernel.dtype).eps * values[-1]
        rank = int(used.sum())
        coefficients = vectors[:, used] @ ((vectors[:, used].T @ y) / values[used, None])
    shape = labels.shape[1:]
    return KernelRegression(
        coefficients.reshape(n, *shape),
        (kernel @ coefficients).reshape(n, *shape),
        None if rows is None else (rows @ coefficients).reshape(len(rows), *shape),
        rank,
    )


@dataclass(frozen=True)
class KernelSVM:
    """Support vector machine with a kernel, f(x) = Σ_i K(x, x_i) c_i + b.

    Attributes:
        coefficients: c_i = α_i y_i; zero unless i is a support vector.
        bias: b.
        support: indices of the support vectors.
        outputs: f on the training patterns; y f is 1 on support vectors and more elsewhere, if the labels
            are separated.
        test_outputs: f on the test patterns; None without a test kernel.
        margin: 1 / √(Σ_ij c_i K_ij c_j), distance of support vectors to the decision boundary in feature
            space.
    """

    coefficients: Float[Tensor, " n"]
    bias: float
    support: Int[Tensor, " support"]
    outputs: Float[Tensor, " n"]
    test_outputs: Float[Tensor, " m"] | None
    margin: float

    def error(self, test_labels: Float[Tensor, " m"]) -> float:
        """Fraction of test patterns with y f <= 0.

        Raises:
            ValueError: there is no test kernel, or another number of labels.
        """
        if self.test_outputs is None:
            raise ValueError("test_kernel: expected the kernel of the test patterns in kernel_svm, got None")
        y = one_column(test_labels, len(self.test_outputs)).to(self.test_outputs.device)
        return float((~(y * self.test_outputs > 0)).double().mean())


def kernel_svm(
    kernel: Float[Tensor, "n n"],
    labels: Float[Tensor, " n"],
    test_kernel: Float[Tensor, "m n"] | None = None,
    *,
    penalty: float = 1e10,
    tolerance: float = 1e-4,
) -> KernelSVM:
    """Support vector machine on a given kernel, by scikit-learn's `SVC`.

    It minimises ½ |f - b|²_K + penalty Σ_i max(0, 1 - y_i f(x_i)) over f in the space of the kernel and over
    b. The default penalty is that of a hard margin. It is not the end of gradient flow on a hinge loss, which
    stops where all margins are first satisfied (`kernel_flow`).

    Args:
        kernel: K of the training patterns, symmetric positive semidefinite.
        labels: y = +1 or -1, of both classes.
        test_kernel: kernel of each test pattern (row) with the training patterns.
        penalty: C in units of 1 / mean K(x, x): the result does not change when the kernel is rescaled.
        tolerance: violation of the optimality conditions, in units of the margin, at which the solver stops.

    Raises:
        ValueError: shapes that do not fit, labels other than ±1, or of a single class.
    """
    from sklearn.svm import SVC  # takes a second to import

    kernel = square(kernel)
    n = kernel.shape[-1]
    y, rows = one_column(labels, n), test_rows(test_kernel, n)
    check_binary_labels(y)
    if len(y.unique()) < 2:
        raise ValueError("labels: expected both +1 and -1, got a single class")
    scale = float(kernel.diagonal().mean())
    machine: Any = SVC(kernel="precomputed", C=penalty, tol=tolerance, cache_size=500)
    machine.fit((kernel / scale).cpu().numpy(), y.cpu().numpy())
    support = torch.from_numpy(np.asarray(machine.support_, dtype=np.int64)).to(kernel.device)
    coefficients = torch.zeros_like(y)
    coefficients[support] = torch.from_numpy(machine.dual_coef_[0].copy()).to(y) / scale
    bias = float(machine.intercept_[0])
    smooth = kernel @ coefficients
    norm = float(coefficients @ smooth)
    return KernelSVM(
        coefficients,
        bias,
        support,
        smooth + bias,
        None if rows is None else rows @ coefficients + bias,
        norm**-0.5 if norm > 0 else math.inf,
    )
