"""Radial functions of an edge: Bessel bases, and envelopes that go smoothly to zero at the cutoff."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def polynomial_envelope(x: Float[Tensor, "..."], p: int = 6) -> Float[Tensor, "..."]:
    """Smooth cutoff function of x = r / r_c: 1 at 0, and 0 from 1 on, where two derivatives vanish.

        u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)     for x < 1.

    Source: Gasteiger et al. 2020, arXiv:2003.03123, eq. 8.
    """
    clamped = x.clamp(max=1.0)
    power = clamped**p
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    return 1 - power * (a - clamped * (b - c * clamped))


class BesselBasis(nn.Module):
    """Radial basis of sines with trainable, dimensionless frequencies, times an envelope:

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


def xplor_envelope(r: Float[Tensor, "..."], on: float, cutoff: float) -> Float[Tensor, "..."]:
    """Smooth cutoff function of r: 1 below `on`, 0 above `cutoff`, and a polynomial in r² between them.

        u(r) = (c² - r²)² (c² + 2 r² - 3 on²) / (c² - on²)³,     c = cutoff,

    with all lengths in one unit. Its slope vanishes at both ends, where its second derivative jumps. With
    s = (r² - on²) / (c² - on²) it is (1 - s)² (1 + 2 s).

    Source: the smoothing function of X-PLOR, as HOOMD-blue's documentation of pair potentials states it.
    """
    s = (r.clamp(on, cutoff) ** 2 - on**2) / (cutoff**2 - on**2)
    return (1 - s) ** 2 * (1 + 2 * s)


class SineBasis(nn.Module):
    """Radial basis of sines with trainable wave numbers in 1/Å, times an envelope:

        b_n(r) = (2 / r_c) sin(q_n r) / r · u(r),     q_n = nπ / r_c at the start.

    With the polynomial envelope these are the functions of `BesselBasis`. The parameters are q_n instead of
    k_n = q_n r_c, as in SevenNet, so that its published wave numbers are read without rounding.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions.
        switch_on: inner radius in Å, if u is `xplor_envelope`; None if u is `polynomial_envelope`.
        p: order of `polynomial_envelope`.

    Raises:
        ValueError: `switch_on` is not below the cutoff.
    """

    def __init__(
        self, cutoff: float, n_basis: int = 8, *, switch_on: float | None = None, p: int = 6
    ) -> None:
        super().__init__()
        if switch_on is not None and not 0 <= switch_on < cutoff:
            raise ValueError(
                f"switch_on: expected a distance below the cutoff of {cutoff} Å, got {switch_on}"
            )
        self.cutoff, self.switch_on, self.p = cutoff, switch_on, p
        n = torch.arange(1, n_basis + 1, dtype=torch.get_default_dtype())
        self.wave_numbers = nn.Parameter(n * (math.pi / cutoff))

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        if self.switch_on is None:
            envelope = polynomial_envelope(distances / self.cutoff, self.p)
        else:
            envelope = xplor_envelope(distances, self.switch_on, self.cutoff)
        amplitude = 2 / self.cutoff * envelope / distances
        return torch.sin(distances[:, None] * self.wave_numbers) * amplitude[:, None]
