"""Modes of a deformation: which waves are kept below a cutoff, and the sum that sets the scale."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

Rule = Literal["disc", "half"]


@lru_cache(maxsize=256)
def kept_modes(
    lengths: tuple[float, ...], cutoff: float, rule: Rule = "disc"
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
    if rule not in get_args(Rule):
        raise ValueError(f"rule: expected one of {get_args(Rule)}, got {rule!r}")
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


def mode_sum(lengths: Sequence[float], cutoff: float, rule: Rule = "disc") -> float:
    """S(c) = Σ 1 / κ² over the kept modes: the mean squared displacement at temperature 1, up to factors.

    In a square S(c) ≈ (π/2) ln c, but only to leading order: S(3) = 1.025, not 1.726.
    """
    return float(kept_modes(tuple(lengths), cutoff, rule)[1].pow(-2).sum())


def _smallest_wave(lengths: Sequence[float]) -> float:
    mean = math.prod(lengths) ** (1 / len(lengths))
    return math.sqrt(sum((mean / length) ** 2 for length in lengths))
