"""Modes of a deformation: which waves are kept below a cutoff, and the sum that sets the scale.

Temperature and typical displacement of a maximum-entropy deformation, exactly and as in the paper.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

CutoffRule = Literal["disc", "half"]


@lru_cache(maxsize=256)
def kept_modes(
    lengths: tuple[float, ...], cutoff: float, rule: CutoffRule = "disc"
) -> tuple[Int64[Tensor, "modes dim"], Float64[Tensor, "modes"]]:
    """Modes k = (k_1, ..., k_d), k_a >= 1, and their wave numbers κ.

        κ² = Σ_a (k_a L / L_a)²,     L = (Π_a L_a)^(1/d),

    so that κ = |k| in a square or cube, and waves of one length have one κ in any box. Kept are

        "disc"  κ <= cutoff       (Petrini et al. 2021, arXiv:2105.02468)
        "half"  κ < cutoff + 1/2  (the code published with it)

    Args:
        lengths: L_a, sides of the box.
        cutoff: c, the largest wave number.
        rule: which of the two.

    Raises:
        ValueError: a cutoff that keeps no mode at all, or is not finite; an unknown rule.
    """
    if rule not in get_args(CutoffRule):
        raise ValueError(f"rule: expected one of {get_args(CutoffRule)}, got {rule!r}")
    if not (cutoff > 0 and math.isfinite(cutoff)):
        raise ValueError(f"cutoff: expected a positive number, got {cutoff}")
    if not lengths or not all(length > 0 and math.isfinite(length) for length in lengths):
        raise ValueError(f"lengths: expected positive numbers, got {lengths}")
    mean = math.prod(lengths) ** (1 / len(lengths))
    reach = cutoff + 0.5 if rule == "half" else cutoff
    # On the CPU whatever torch's default device: they are kept for others, who may have another.
    axes = [torch.arange(1, int(reach * length / mean * (1 + 1e-12)) + 1, device="cpu") for length in lengths]
    modes = torch.cartesian_prod(*axes).reshape(-1, len(lengths))
    sides = torch.tensor(lengths, dtype=torch.float64, device="cpu")
    waves = (modes.double() * mean / sides).square().sum(1).sqrt()
    # A relative 1e-12 for κ = c, which rounding may put on either side.
    inside = waves < reach * (1 - 1e-12) if rule == "half" else waves <= reach * (1 + 1e-12)
    if not inside.any():
        least = _smallest_wave(lengths)
        raise ValueError(
            f"cutoff: {cutoff} with rule={rule!r} keeps no mode of a box {lengths}; the smallest wave "
            f"number is {least:.4g}"
        )
    return modes[inside], waves[inside]


def mode_sum(lengths: Sequence[float], cutoff: float, rule: CutoffRule = "disc") -> float:
    """S(c) = Σ 1 / κ² over the kept modes: the mean squared displacement at temperature 1, up to factors.

    In a square S(c) ≈ (π/2) ln c, but only to leading order: S(3) = 1.025, not 1.726.
    """
    return float(kept_modes(tuple(lengths), cutoff, rule)[1].pow(-2).sum())


def _smallest_wave(lengths: Sequence[float]) -> float:
    mean = math.prod(lengths) ** (1 / len(lengths))
    return math.sqrt(sum((mean / length) ** 2 for length in lengths))


def typical_displacement(
    temperature: float,
    shape: Sequence[float],
    cutoff: float,
    *,
    rule: CutoffRule = "disc",
    exact: bool = True,
) -> float:
    """δ, the root of the mean squared displacement in pixels, at a temperature T.

        exact        δ² = d 2^(-d) L² T S(c),          L = (Π n_a)^(1/d)
        logarithmic  δ² = π n² T ln(c) / 4             (Petrini et al. 2021; squares only)

    The exact mean is over fields and over the whole square. Over its pixels, whose outermost do not move,
    it is smaller by the factor Π (n_a - 1) / n_a. The logarithmic formula takes S(c) for (π/2) ln c and
    is too large, for cutoffs from 2 to 30 by 10 to 48 % with rule "disc" and by 10 to 19 % with "half".

    Args:
        temperature: T >= 0.
        shape: pixels along each axis, (rows, columns) or (depth, rows, columns).
        cutoff: c.
        rule: which modes are kept, see `kept_modes`; the logarithmic formula does not know.
        exact: which formula.
    """
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature: expected a number >= 0, got {temperature}")
    return math.sqrt(temperature * _squared_displacement(shape, cutoff, rule, exact))


def temperature(
    delta: float, shape: Sequence[float], cutoff: float, *, rule: CutoffRule = "disc", exact: bool = True
) -> float:
    """T at which the root of the mean squared displacement is `delta` pixels; see `typical_displacement`.

    Example:
        >>> round(temperature(1.0, (28, 28), 3) * 28**2 * 1.025, 12)
        2.0
    """
    if not (delta >= 0 and math.isfinite(delta)):
        raise ValueError(f"delta: expected a number of pixels >= 0, got {delta}")
    return delta**2 / _squared_displacement(shape, cutoff, rule, exact)


def temperature_range(
    shape: Sequence[float], cutoff: float, *, rule: CutoffRule = "disc", exact: bool = True
) -> tuple[float, float]:
    """T1 and T2, between which deformations are visible and mostly do not fold.

    At T1 the typical displacement is half a pixel. T2 = 4 / (π³ c² ln c) is where the logarithmic formula
    gives n / (π c) pixels (Petrini et al. 2021). It is a rule of thumb. At T2 itself one field in ten
    (c = 2 to 5) or in twenty (c = 10 to 15) folds with rule "disc", with "half" from one in two (c = 2)
    to one in thirteen (c = 15). In small images it is somewhat more: slopes are steeper by n / (n - 1),
    because pixels are 1 / (n - 1) apart while displacements count in 1 / n. In images of 28 pixels it is
    one in eight (c = 3) and one in eighteen (c = 15) with "disc", two in five and one in eight with "half".
    At T2 / 4 it is hardly one in twenty-five, at most: for c = 2 with "half". See
    `SineField.folding_probability`. The range is empty, T1 > T2, where c is larger than about 2 n / π.

    Raises:
        ValueError: cutoff <= 1, for which there is no T2.
    """
    _check_logarithm(cutoff)
    return (
        temperature(0.5, shape, cutoff, rule=rule, exact=exact),
        4 / (math.pi**3 * cutoff**2 * math.log(cutoff)),
    )


def _squared_displacement(shape: Sequence[float], cutoff: float, rule: CutoffRule, exact: bool) -> float:
    """Mean squared displacement in pixels² at temperature 1."""
    dim = len(shape)
    if dim not in (2, 3):
        raise ValueError(f"shape: expected 2 or 3 axes, got {tuple(shape)}")
    if exact:
        return dim * 2**-dim * math.prod(shape) ** (2 / dim) * mode_sum(shape, cutoff, rule)
    _check_logarithm(cutoff)
    if dim != 2 or shape[0] != shape[1]:
        raise ValueError(f"exact=False: the logarithmic formula is for squares, got shape {tuple(shape)}")
    return math.pi * shape[0] ** 2 * math.log(cutoff) / 4


def _check_logarithm(cutoff: float) -> None:
    if not cutoff > 1:
        raise ValueError(f"cutoff: expected more than 1 for a formula with ln(cutoff), got {cutoff}")
