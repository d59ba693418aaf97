"""Nets and points of benchmarks/tangent.py."""

import torch
from torch import Tensor, nn


def dense_case(request: dict) -> tuple[nn.Module, Tensor]:
    """A net of three hidden layers in the ntk parametrisation, and random points."""
    from symnets.models import Dense  # not in all environments of workers

    dtype, generator = getattr(torch, request["dtype"]), torch.Generator().manual_seed(0)
    net = Dense(10, request["width"], 3, generator=generator, dtype=dtype)
    return net, torch.randn(request["points"], 10, generator=generator, dtype=dtype)


def image_case(request: dict) -> tuple[nn.Module, Tensor]:
    """A convolutional net of 73,505 weights and biases with scalar output, and images of MNIST's size.

    Images are random numbers: times do not depend on their values.
    """
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
    )
    return net, torch.randn(request["points"], 1, 28, 28)
