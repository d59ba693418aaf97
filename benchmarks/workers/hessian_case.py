"""Net and loss of benchmarks/hessian.py in plain torch, for workers in other environments."""

import torch
from torch import Tensor

NORMS = {"relu": 2**0.5, "tanh": 1.5925374197228312}
"""Factors that give activations a unit second moment on N(0, 1)."""


def problem(request: dict) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights, inputs, labels."""
    generator = torch.Generator().manual_seed(request["seed"])
    dtype, h, n = getattr(torch, request["dtype"]), request["width"], request["patterns"]

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    weights = [draw(h, 10), draw(h, h), draw(h, h), draw(1, h)]
    return weights, draw(n, 10), draw(n).sign()


def predict(weights: list[Tensor], x: Tensor, activation: str) -> Tensor:
    """A net in the ntk parametrisation, without biases; norm and scale are one factor."""
    phi = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    for layer, w in enumerate(weights):
        x = (phi(x) if layer else x) @ (factor(layer, w, activation) * w.T)
    return x[:, 0]


def factor(layer: int, w: Tensor, activation: str) -> float:
    """Factor of a layer, including the norm of the activation before it."""
    return (NORMS[activation] if layer else 1.0) * w.shape[1] ** -0.5


def hinge(f: Tensor, y: Tensor) -> Tensor:
    """Quadratic hinge loss."""
    return 0.5 * torch.relu(1 - y * f) ** 2
