"""Checks of kernel matrices and of the labels that belong to them."""

import torch
from jaxtyping import Float
from torch import Tensor


def square(kernel: Tensor, name: str = "kernel") -> Float[Tensor, "*members n n"]:
    """A kernel matrix of n patterns, in float64 and without gradients.

    Raises:
        ValueError: not a square matrix of finite real numbers.
    """
    if kernel.ndim < 2 or kernel.shape[-1] != kernel.shape[-2] or kernel.shape[-1] == 0:
        raise ValueError(
            f"{name}: expected a square matrix (n, n), or members of it (members, n, n), got shape "
            f'{tuple(kernel.shape)}; reduce several outputs with tangent_kernel(..., outputs="trace")'
        )
    return finite(kernel, name)


def finite(values: Tensor, name: str) -> Tensor:
    """Values in float64 and without gradients.

    Raises:
        ValueError: NaN, infinity, or complex numbers.
    """
    if values.is_complex() or not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name}: expected finite real numbers, got NaN, infinity or complex numbers")
    return values.detach().double()


def columns(labels: Tensor, n: int) -> Float[Tensor, "n outputs"]:
    """Labels of n patterns as a matrix with a column for each output, in float64.

    Raises:
        ValueError: another number of labels.
    """
    if labels.ndim not in (1, 2) or len(labels) != n:
        raise ValueError(f"labels: expected shape ({n},) or ({n}, outputs), got {tuple(labels.shape)}")
    return finite(labels, "labels").reshape(n, -1)


def one_column(labels: Tensor, n: int) -> Float[Tensor, " n"]:
    """Labels of n patterns with one number each, in float64.

    Raises:
        ValueError: another number of labels, or several numbers for each pattern.
    """
    found = columns(labels, n)
    if found.shape[1] != 1:
        raise ValueError(f"labels: expected one number for each pattern, got shape {tuple(labels.shape)}")
    return found[:, 0]


def test_rows(test_kernel: Tensor | None, n: int) -> Float[Tensor, "m n"] | None:
    """The kernel between m test patterns and n training patterns, in float64.

    Raises:
        ValueError: another shape.
    """
    if test_kernel is None:
        return None
    if test_kernel.ndim != 2 or test_kernel.shape[1] != n:
        raise ValueError(
            f"test_kernel: expected shape (test patterns, {n}), a row for each test pattern, got "
            f"{tuple(test_kernel.shape)}; transpose a kernel with training patterns first"
        )
    return finite(test_kernel, "test_kernel")
