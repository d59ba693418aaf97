"""Support vector machines with kernels of infinitely wide nets, on points with compressed directions."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import BinaryTask
from symnets.observables import infinite_width
from symnets.observables.kernels import KernelSVM, kernel_svm


def with_constant(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d_plus_one"]:
    """Inputs with one more component √d, which acts as a bias of the first layer."""
    return torch.cat([x, x.new_full((len(x), 1), x.shape[1] ** 0.5)], dim=1)


def compressed(
    x: Float[Tensor, "n d"], relevant: Float[Tensor, "d d_par"], factor: float
) -> Float[Tensor, "n d"]:
    """Inputs x_∥ + x_⊥/λ: components outside the relevant subspace are divided by λ.

    Args:
        x: inputs.
        relevant: orthonormal basis of the relevant subspace.
        factor: λ.
    """
    parallel = x @ relevant @ relevant.T
    return parallel + (x - parallel) / factor


def bias_kernel(x1: Float[Tensor, "n d"], x2: Float[Tensor, "m d"] | None = None) -> Float[Tensor, "n m"]:
    """Tangent kernel of infinitely wide nets with one hidden layer of ReLU and standard normal biases.

    The nets are f(x) = h^(-1/2) Σ β σ(ω · x/√d + b) in the limit h → ∞; the kernel is defined up to a
    constant factor. The biases are weights of a constant input √d, with which `infinite_width` without biases
    is computed.

    Args:
        x1: inputs.
        x2: other inputs; by default x1.
    """
    return infinite_width(1, "relu", with_constant(x1), None if x2 is None else with_constant(x2)).ntk


def point_svm(task: BinaryTask, factor: float = 1.0, *, chunk: int = 10_000) -> tuple[KernelSVM, float]:
    """Support vector machine with `bias_kernel` on the points of a task, and its test error.

    The kernel of test points is computed with support vectors only, which are few: test sets may be large.

    Args:
        task: training and test points.
        factor: λ, by which irrelevant components are divided; values other than 1 need `task.relevant`.
        chunk: number of test points at a time, which bounds memory.

    Raises:
        ValueError: compression of a task without a relevant subspace.
    """
    x, x_test = task.x_train, task.x_test
    if factor != 1:
        if task.relevant is None:
            raise ValueError("task: expected a relevant subspace to compress the other directions, got None")
        x, x_test = (compressed(each, task.relevant, factor) for each in (x, x_test))
    machine = kernel_svm(bias_kernel(x), task.y_train, tolerance=1e-3)
    vectors, coefficients = x[machine.support], machine.coefficients[machine.support]
    outputs = [bias_kernel(part, vectors) @ coefficients + machine.bias for part in x_test.split(chunk)]
    return machine, float((~(task.y_test * torch.cat(outputs) > 0)).double().mean())
