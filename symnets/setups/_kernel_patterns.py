"""Kernels of infinitely wide nets on points, with the irrelevant directions compressed."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.observables import infinite_width


def with_constant(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d_plus_one"]:
    """Inputs with one more component √d, which acts as a bias of the first layer."""
    return torch.cat([x, x.new_full((len(x), 1), x.shape[1] ** 0.5)], dim=1)


def compressed(
    x: Float[Tensor, "n d"], relevant: Float[Tensor, "d d_par"], factor: float
) -> Float[Tensor, "n d"]:
    """Inputs x_∥ + x_⊥/λ: components outside the relevant subspace are divided by λ."""
    parallel = x @ relevant @ relevant.T
    return parallel + (x - parallel) / factor


def bias_kernel(x1: Float[Tensor, "n d"], x2: Float[Tensor, "m d"] | None = None) -> Float[Tensor, "n m"]:
    """Tangent kernel of infinitely wide nets with one hidden layer of ReLU and standard normal biases.

    Of f(x) = h^(-1/2) Σ β σ(ω · x/√d + b) in the limit h → ∞, up to a constant factor. The biases are weights
    of a constant input √d, with which `infinite_width` without biases is computed.

    Args:
        x1: inputs.
        x2: other inputs; by default x1.
    """
    return infinite_width(1, "relu", with_constant(x1), None if x2 is None else with_constant(x2)).ntk
