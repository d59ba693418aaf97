"""Radial functions: the Bessel basis and the envelope that ends it smoothly at the cutoff."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def polynomial_envelope(x: Float[Tensor, "..."], p: int = 6) -> Float[Tensor, "..."]:
    """Smooth cutoff of x = r / r_c: 1 at 0, and 0 from 1 on with two vanishing derivatives.

        u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)     for x < 1.

    Source: Gasteiger et al. 2020, arXiv:2003.03123, eq. 8.
    """
    inside = x.clamp(max=1.0)
    power = inside**p
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    return 1 - power * (a - inside * (b - c * inside))


class BesselBasis(nn.Module):
    """Radial basis of trainable frequencies, times the envelope.

        b_n(r) = (2 / r_c) sin(k_n r / r_c) / r · u(r / r_c),     k_n = nπ at the start.

    Source: Gasteiger et al. 2020, arXiv:2003.03123, eq. 7; the prefactor 2/r_c is NequIP's.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions.
        p: order of `polynomial_envelope`.
    """

    def __init__(self, cutoff: float, n_basis: int = 8, p: int = 6) -> None:
        super().__init__()
        self.cutoff, self.p = cutoff, p
        self.frequencies = nn.Parameter(
            math.pi * torch.arange(1, n_basis + 1, dtype=torch.get_default_dtype())
        )

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        x = distances / self.cutoff
        amplitude = 2 / self.cutoff * polynomial_envelope(x, self.p) / distances
        return torch.sin(x[:, None] * self.frequencies) * amplitude[:, None]
