"""Envelopes: functions that take interactions smoothly to zero at the cutoff."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def polynomial_envelope(x: Float[Tensor, "..."], p: int | float = 6) -> Float[Tensor, "..."]:
    """Smooth cutoff function of x = r / r_c: 1 at 0, and 0 from 1 on, where two derivatives vanish.

        u(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)     for x < 1.

    Its first p - 1 derivatives vanish at 0: for p >= 2 the slope is zero there too.

    Source: Gasteiger et al. 2020, arXiv:2003.03123, eq. 8.
    """
    clamped = x.clamp(max=1.0)
    power = clamped**p
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    return 1 - power * (a - clamped * (b - c * clamped))


def cosine_envelope(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Cutoff function of x = r / r_c: 1 at 0, and 0 from 1 on, with vanishing slope at both.

        u(x) = (1 + cos(πx)) / 2     for x < 1.

    Its second derivative jumps at 1, whereas that of `polynomial_envelope` is continuous: forces are
    continuous, Hessians are not.

    Source: Behler and Parrinello 2007, Phys. Rev. Lett. 98, 146401, eq. 4.
    """
    return (1 + torch.cos(math.pi * x.clamp(max=1.0))) / 2


def xplor_envelope(r: Float[Tensor, "..."], on: float, cutoff: float) -> Float[Tensor, "..."]:
    """Smooth cutoff function of r: 1 below `on`, 0 above `cutoff`, and a polynomial in r² between them.

        u(r) = (c² - r²)² (c² + 2 r² - 3 on²) / (c² - on²)³,     c = cutoff,

    with all lengths in one unit. Its slope vanishes at `on` and at `cutoff`, where its second derivative
    jumps. With s = (r² - on²) / (c² - on²) it is (1 - s)² (1 + 2 s).

    Args:
        r: distances.
        on: distance up to which the function is 1.
        cutoff: distance from which it is 0.

    Source: the smoothing function of X-PLOR, as HOOMD-blue's documentation of pair potentials states it.
    """
    s = (r.clamp(on, cutoff) ** 2 - on**2) / (cutoff**2 - on**2)
    return (1 - s) ** 2 * (1 + 2 * s)
