"""Radial functions of an edge: bases of Bessel functions, Gaussians and Chebyshev polynomials."""

import math
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.nn._envelopes import polynomial_envelope, xplor_envelope

Envelope = Callable[[Tensor], Tensor]
"""Function of r / r_c that goes smoothly to zero at 1, such as `polynomial_envelope`."""


class BesselBasis(nn.Module):
    """Radial basis of sines with trainable, dimensionless frequencies, times an envelope:

        b_n(r) = (2 / r_c) sin(k_n r / r_c) / r · u(r / r_c),     k_n = nπ at the start.

    Source: Gasteiger et al. 2020, arXiv:2003.03123, eq. 7; the prefactor 2/r_c is NequIP's.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions.
        p: order of `polynomial_envelope`.
        envelope: function u of r / r_c, such as `cosine_envelope`; None for `polynomial_envelope` of order p.
    """

    def __init__(
        self, cutoff: float, n_basis: int = 8, p: int | float = 6, *, envelope: Envelope | None = None
    ) -> None:
        super().__init__()
        self.cutoff, self.p = cutoff, p
        self.envelope = envelope or partial(polynomial_envelope, p=p)
        self.frequencies = nn.Parameter(
            math.pi * torch.arange(1, n_basis + 1, dtype=torch.get_default_dtype())
        )

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        x = distances / self.cutoff
        amplitude = 2 / self.cutoff * self.envelope(x) / distances
        return torch.sin(x[:, None] * self.frequencies) * amplitude[:, None]


class SineBasis(nn.Module):
    """Radial basis of sines with trainable wave numbers in 1/Å, times an envelope:

        b_n(r) = (2 / r_c) sin(q_n r) / r · u(r),     q_n = nπ / r_c at the start,

    with an envelope u. With `polynomial_envelope` these are the functions of `BesselBasis`. The parameters
    are q_n instead of k_n = q_n r_c, as in SevenNet, so that its published wave numbers are read without
    rounding.

    Source: Park et al. 2024, J. Chem. Theory Comput. 20, 4857 (arXiv:2402.03789).

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions.
        switch_on: inner radius `on` of `xplor_envelope`, in Å; None for `polynomial_envelope`.
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


class GaussianBasis(nn.Module):
    """Radial basis of Gaussians at equidistant centres, times an envelope:

        b_n(r) = exp(-((r - μ_n) / Δ)²) / 1.12 · u(r / r_c),     μ_n = nΔ,     Δ = r_c / (N + 1),

    for n = 1 ... N. Without u the sum of squares is about 1 between the first and the last μ_n. Apart from u
    these are the functions of `e3nn.math.soft_one_hot_linspace`. With `wide` they are those of MACE:

        b_n(r) = exp(-((r - μ_n) / Δ)² / 2) · u(r / r_c),     μ_n = (n - 1) Δ,     Δ = r_c / (N - 1).

    Source: Schütt et al. 2017, SchNet, arXiv:1706.08566.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions N; at least 2 with `wide`.
        envelope: function u of r / r_c.
        wide: whether the centres μ_n include 0 and r_c, and the functions are wider.

    Raises:
        ValueError: `wide` with one function.
    """

    def __init__(
        self,
        cutoff: float,
        n_basis: int = 8,
        *,
        envelope: Envelope = polynomial_envelope,
        wide: bool = False,
    ) -> None:
        super().__init__()
        if wide and n_basis < 2:
            raise ValueError(f"n_basis: expected at least 2 Gaussians from 0 to the cutoff, got {n_basis}")
        self.cutoff, self.n_basis, self.envelope, self.wide = cutoff, n_basis, envelope, wide

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        x = distances[:, None] / self.cutoff
        n = torch.arange(1, self.n_basis + 1, dtype=x.dtype, device=x.device)
        if self.wide:
            return torch.exp(-(((self.n_basis - 1) * x - (n - 1)) ** 2) / 2) * self.envelope(x)
        return torch.exp(-(((self.n_basis + 1) * x - n) ** 2)) * (self.envelope(x) / 1.12)


class ChebyshevBasis(nn.Module):
    """Radial basis of Chebyshev polynomials, times an envelope:

        b_n(r) = T_n(2 r / r_c - 1) u(r / r_c),     T_n(cos θ) = cos(nθ),

    for n = 0 ... N-1, computed by the recursion T_n+1(t) = 2t T_n(t) - T_n-1(t). Without u, |b_n| <= 1.

    Source: Shapeev 2016, moment tensor potentials, arXiv:1512.06054.

    Args:
        cutoff: r_c in Å.
        n_basis: number of functions N.
        envelope: function u of r / r_c.
    """

    def __init__(self, cutoff: float, n_basis: int = 8, *, envelope: Envelope = polynomial_envelope) -> None:
        super().__init__()
        self.cutoff, self.n_basis, self.envelope = cutoff, n_basis, envelope

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges n_basis"]:
        """Basis functions at distances in Å."""
        x = distances / self.cutoff
        t = 2 * x - 1
        functions = [torch.ones_like(t), t]
        while len(functions) < self.n_basis:
            functions.append(2 * t * functions[-1] - functions[-2])
        return torch.stack(functions[: self.n_basis], dim=1) * self.envelope(x)[:, None]
