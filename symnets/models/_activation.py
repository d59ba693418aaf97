"""Activations of dense and convolutional nets, normalised to unit second moment, with two derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from symnets.names import did_you_mean

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Activation:
    """φ(z) = norm · value(z), with norm such that E φ(z)² = 1 for z ~ N(0, 1).

    Attributes:
        name: name for `find_activation`.
        value: the function without its norm.
        slope: derivative of value; at a kink, the one that torch takes (ReLU: 0 at 0).
        curvature: second derivative of value; None where it vanishes almost everywhere.
        homogeneous: whether value(c z) = c value(z) for c > 0.
    """

    name: str
    value: Function
    slope: Function
    curvature: Function | None
    homogeneous: bool = False

    @property
    def norm(self) -> float:
        """1 / √(E value(z)²), with z ~ N(0, 1)."""
        return _norm(self.value)

    def __call__(self, z: Tensor) -> Tensor:
        """φ(z)."""
        return self.norm * self.value(z)


def _swish_slope(z: Tensor) -> Tensor:
    s = z.sigmoid()
    return s * (1 + z * (1 - s))


def _swish_curvature(z: Tensor) -> Tensor:
    s = z.sigmoid()
    return s * (1 - s) * (2 + z * (1 - 2 * s))


def _density(z: Tensor) -> Tensor:
    """Density of N(0, 1)."""
    return torch.exp(-z * z / 2) * (2 * np.pi) ** -0.5


ACTIVATIONS = {
    "relu": Activation("relu", torch.relu, lambda z: (z > 0).to(z.dtype), None, homogeneous=True),
    "tanh": Activation(
        "tanh",
        torch.tanh,
        lambda z: 1 - z.tanh() ** 2,
        lambda z: -2 * z.tanh() * (1 - z.tanh() ** 2),
    ),
    "swish": Activation("swish", F.silu, _swish_slope, _swish_curvature),
    "gelu": Activation(
        "gelu",
        F.gelu,
        lambda z: torch.special.ndtr(z) + z * _density(z),
        lambda z: (2 - z * z) * _density(z),
    ),
    "erf": Activation(
        "erf",
        torch.erf,
        lambda z: 2 * np.pi**-0.5 * torch.exp(-z * z),
        lambda z: -4 * np.pi**-0.5 * z * torch.exp(-z * z),
    ),
    "linear": Activation("linear", lambda z: z, torch.ones_like, None, homogeneous=True),
}


def find_activation(name: str) -> Activation:
    """Find an activation by its name.

    Raises:
        ValueError: an unknown name; the nearest valid one is named.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: unknown {name!r}; {did_you_mean(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


@lru_cache
def _norm(value: Function) -> float:
    """Norm by quadrature on a grid, exact to rounding for smooth functions; in closed form for ReLU."""
    if value is torch.relu:
        return 2**0.5
    # On the CPU whatever the default device is: on "meta" there would be no value.
    z = torch.linspace(-12, 12, 24001, dtype=torch.float64, device="cpu")
    second_moment = torch.trapezoid(value(z) ** 2 * _density(z), z)
    return float(second_moment**-0.5)
