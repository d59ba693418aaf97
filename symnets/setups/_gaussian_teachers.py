"""Teacher and student kernels: regression of Gaussian random fields with another kernel."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from symnets.observables.kernels import kernel_regression

Kernel = Callable[[Tensor, Tensor], Float[Tensor, "n m"]]


def regression_error(
    x: Float[Tensor, "points d"],
    teacher: Float[Tensor, "points points"],
    student: Kernel,
    *,
    n_test: int,
    n_fields: int,
    generator: Generator,
) -> float:
    """Test error of kernel regression on Gaussian random fields, over the variance of the fields.

    Several fields at the same points share the factorisations, so that an average over them costs little.

    Args:
        x: points; the first `n_test` of them are test points, the others are training points.
        teacher: covariance of the fields at the points.
        student: kernel of the regression, which interpolates.
        n_test: number of test points.
        n_fields: number of independent fields.
        generator: random generator of the fields.

    Returns:
        Mean over fields and test points of (f - y)², divided by the mean variance of y.
    """
    n = len(teacher)
    # Smooth covariances are singular to rounding; errors below 1e-12 of the variance are not resolved.
    factor = torch.linalg.cholesky(teacher + 1e-12 * torch.eye(n, dtype=teacher.dtype))
    y = factor @ torch.randn(n, n_fields, generator=generator, dtype=teacher.dtype)
    train, test = x[n_test:], x[:n_test]
    found = kernel_regression(student(train, train), y[n_test:], student(test, train))
    assert found.test_outputs is not None
    return float((found.test_outputs - y[:n_test]).square().mean() / teacher.diagonal().mean())
