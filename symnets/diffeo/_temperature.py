"""Modes up to a cutoff, temperature and typical displacement of maximum-entropy deformations."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

CutoffRule = Literal["disc", "half"]
"""Which modes a cutoff keeps: wave numbers up to c ("disc"), or below c + 1/2 ("half"); see `kept_modes`."""


@lru_cache(maxsize=256)
def kept_modes(
    lengths: tuple[float, ...], cutoff: float, rule: CutoffRule = "disc"
) -> tuple[Int64[Tensor, "modes dim"], Float64[Tensor, "modes"]]:
    """Modes k = (k_1, ..., k_d), k_a >= 1, up to a cutoff, and their wave numbers κ.

        κ² = Σ_a (k_a L / L_a)²,     L = (Π_a L_a)^(1/d),

    so that κ = |k| in a square or cube, and waves of equal length have equal κ in any box. The rules keep

        "disc"  κ <= cutoff       (Petrini et al. 2021, arXiv:2105.02468)
        "half"  κ < cutoff + 1/2  (the code published with it)

    Args:
        lengths: L_a, sides of the box.
        cutoff: c, the largest wave number.
        rule: "disc" or "half".

    Raises:
        ValueError: a cutoff that is below the smallest wave number or not finite, or an unknown rule.
    """
    if rule not in get_args(CutoffRule):
        raise ValueError(f"rule: expected one of {get_args(CutoffRule)}, got {rule!r}")
    if not (cutoff > 0 and math.isfinite(cutoff)):
        raise ValueError(f"cutoff: expected a positive number, got {cutoff}")
    if not lengths or not all(length > 0 and math.isfinite(length) for length in lengths):
        raise ValueError(f"lengths: expected positive numbers, got {lengths}")
    mean = math.prod(lengths) ** (1 / len(lengths))
    reach = cutoff + 0.5 if rule == "half" else cutoff
    # On the CPU whatever torch's default device is, because the result is cached.
    axes = [torch.arange(1, int(reach * length / mean * (1 + 1e-12)) + 1, device="cpu") for length in lengths]
    modes = torch.cartesian_prod(*axes).reshape(-1, len(lengths))
    sides = torch.tensor(lengths, dtype=torch.float64, device="cpu")
    waves = (modes.double() * mean / sides).square().sum(1).sqrt()
    # A relative tolerance of 1e-12, because rounding may move κ = c to either side.
    inside = waves < reach * (1 - 1e-12) if rule == "half" else waves <= reach * (1 + 1e-12)
    if not inside.any():
        smallest = _smallest_wave(lengths)
        raise ValueError(
            f"cutoff: {cutoff} with rule={rule!r} keeps no mode of a box {lengths}; the smallest wave "
            f"number is {smallest:.4g}"
        )
    return modes[inside], waves[inside]


def mode_sum(lengths: Sequence[float], cutoff: float, rule: CutoffRule = "disc") -> float:
    """Mode sum S(c) = Σ 1 / κ² up to the cutoff, proportional to the mean squared displacement at T = 1.

    In a square, S(c) ≈ (π/2) ln c holds only for large c: S(3) = 1.025, whereas (π/2) ln 3 = 1.726.
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
    """Root mean square displacement δ in pixels at a temperature T.

        exact        δ² = d 2^(-d) L² T S(c),          L = (Π n_a)^(1/d)
        logarithmic  δ² = π n² T ln(c) / 4             (Petrini et al. 2021; squares only)

    with the dimension d and the mode sum S(c) = Σ 1 / κ². The exact mean is over fields and over the
    continuous box. The mean of δ² over pixels is smaller by the factor Π (n_a - 1) / n_a, because the
    outermost pixels do not move. The logarithmic formula replaces S(c) by (π/2) ln c. For cutoffs from 2 to
    30 its δ is too large by 10 to 48 % with rule "disc", and by 10 to 19 % with "half".

    Args:
        temperature: T >= 0.
        shape: pixels along each axis, (rows, columns) or (depth, rows, columns).
        cutoff: c.
        rule: which modes are kept, see `kept_modes`; without effect on the logarithmic formula.
        exact: whether to use the exact or the logarithmic formula.

    Raises:
        ValueError: a negative temperature; for the logarithmic formula, cutoff <= 1 or a shape that is not a
            square.
    """
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature: expected a number >= 0, got {temperature}")
    return math.sqrt(temperature * _squared_displacement(shape, cutoff, rule, exact))


def temperature(
    delta: float, shape: Sequence[float], cutoff: float, *, rule: CutoffRule = "disc", exact: bool = True
) -> float:
    """Temperature T at which the root mean square displacement is `delta` pixels (`typical_displacement`).

    Args:
        delta: root mean square displacement in pixels.
        shape: pixels of an image along each axis.
        cutoff: largest wave number.
        rule: modes that the cutoff keeps, see `kept_modes`.
        exact: whether the displacement is the exact sum over modes, or the published logarithmic formula.

    Raises:
        ValueError: a negative displacement.

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
    """Temperatures T1 and T2, between which deformations are visible and rarely fold.

    At T1 the typical displacement is half a pixel. At T2 = 4 / (π³ c² ln c) it is n / (π c) pixels by the
    logarithmic formula (Petrini et al. 2021). T2 is a rule of thumb; the fraction of fields that fold there
    is

        rule    large images                             images of 28 pixels
        "disc"  1/10 (c = 2 to 5), 1/20 (c = 10 to 15)   1/8 (c = 3), 1/18 (c = 15)
        "half"  1/2 (c = 2) to 1/13 (c = 15)             2/5 (c = 3), 1/8 (c = 15)

    It is larger in small images, where slopes are steeper by n / (n - 1): the image is n - 1 pixels wide,
    while displacements scale with n. At T2 / 4 at most one field in twenty-five folds (c = 2, "half"). See
    `SineField.folding_probability`. The range is empty, T1 > T2, for c above about 2 n / π.

    Args:
        shape: pixels of an image along each axis.
        cutoff: c, the largest wave number.
        rule: modes that the cutoff keeps, see `kept_modes`.
        exact: whether T1 follows from the exact displacement, or from the published logarithmic formula.

    Raises:
        ValueError: cutoff <= 1, where T2 is not defined.
    """
    _check_logarithm(cutoff)
    return (
        temperature(0.5, shape, cutoff, rule=rule, exact=exact),
        4 / (math.pi**3 * cutoff**2 * math.log(cutoff)),
    )


def _squared_displacement(shape: Sequence[float], cutoff: float, rule: CutoffRule, exact: bool) -> float:
    """Mean squared displacement in pixels² at T = 1."""
    dim = len(shape)
    if dim not in (2, 3):
        raise ValueError(f"shape: expected 2 or 3 axes, got {tuple(shape)}")
    if exact:
        return dim * 2**-dim * math.prod(shape) ** (2 / dim) * mode_sum(shape, cutoff, rule)
    _check_logarithm(cutoff)
    if dim != 2 or shape[0] != shape[1]:
        raise ValueError(f"exact=False: the logarithmic formula holds for squares, got shape {tuple(shape)}")
    return math.pi * shape[0] ** 2 * math.log(cutoff) / 4


def _check_logarithm(cutoff: float) -> None:
    if not cutoff > 1:
        raise ValueError(f"cutoff: expected more than 1 for a formula with ln(cutoff), got {cutoff}")
