"""Sine fields whose strength and cutoff are themselves random."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Generator, Tensor

from symnets.diffeo._expansion import Expansion
from symnets.diffeo._sine_field import SineField
from symnets.diffeo._temperature import CutoffRule, kept_modes

Range = float | tuple[float, float]
"""A number, or (low, high)."""


@dataclass(frozen=True)
class FieldRange:
    """Random deformations of images of any size, each with its own strength and cutoff.

    Attributes:
        strength: the uniformly distributed quantity: "delta", the typical displacement in pixels, or
            "temperature".
        values: range of `strength`.
        cutoffs: range of the cutoff, which takes integer values unless both ends are equal.
        rule: see `SineField`.
    """

    strength: Literal["delta", "temperature"]
    values: tuple[float, float]
    cutoffs: tuple[float, float]
    rule: CutoffRule = "disc"

    def __post_init__(self) -> None:
        low, high = self.cutoffs
        if low != high and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"cutoff: expected a range of integers, got {self.cutoffs}")
        # A square has the smallest wave numbers: a cutoff that keeps no mode of it keeps none of any shape.
        kept_modes((1.0, 1.0), low, self.rule)

    def warn_of_folds(self, shape: Sequence[int]) -> None:
        """Emits the `FoldingWarning` of the strongest fields with the largest cutoff, if they may fold."""
        size = tuple(int(length) for length in shape)
        _field(size, self.cutoffs[1], self.rule).warn_of_folds(**{self.strength: self.values[1]})

    def sample(
        self, n: int, shape: Sequence[int], *, bijective: bool, generator: Generator | None
    ) -> Expansion:
        """Samples n deformations of images of a shape, in float64 on the CPU, without a warning of folds.

        With a single strength and a single cutoff the result equals that of `SineField.sample`.
        """
        size = tuple(int(length) for length in shape)
        low, high = self.cutoffs
        cutoffs = torch.full((n,), high, dtype=torch.float64, device="cpu")
        if low != high:
            cutoffs = (low + uniform(n, generator) * (high - low + 1)).floor()
        smallest, largest = self.values
        values = torch.full((n,), largest, dtype=torch.float64, device="cpu")
        if smallest != largest:
            values = smallest + (largest - smallest) * uniform(n, generator)
        basis = _field(size, high, self.rule).basis
        coefficients = torch.zeros(n, len(size), *basis.sizes, dtype=torch.float64, device="cpu")
        for cutoff in cutoffs.unique().tolist():
            rows = (cutoffs == cutoff).nonzero()[:, 0]
            field = _field(size, cutoff, self.rule)
            low_modes = self._coefficients(field, values[rows], bijective, generator)
            corner = [slice(length) for length in low_modes.shape[2:]]
            coefficients[(rows, slice(None), *corner)] = low_modes
        return Expansion(basis, coefficients, size, is_identity=largest == 0)

    def _coefficients(
        self, field: SineField, values: Tensor, bijective: bool, generator: Generator | None
    ) -> Float64[Tensor, "n dim *modes"]:
        deltas = values if self.strength == "delta" else values.sqrt() * field.typical_displacement(1.0)
        return field.draw(
            deltas, generator=generator, bijective=bijective, dtype=torch.float64, device="cpu"
        ).coefficients


def as_range(name: str, given: Range) -> tuple[float, float]:
    """(low, high) from a number or a range.

    Raises:
        ValueError: negative numbers, or low > high.
    """
    low, high = given if isinstance(given, tuple | list) else (given, given)
    if not 0 <= low <= high < float("inf"):
        raise ValueError(f"{name}: expected a number >= 0 or a range (low, high) of them, got {given}")
    return float(low), float(high)


def uniform(n: int, generator: Generator | None) -> Float64[Tensor, " n"]:
    """Uniform random numbers between 0 and 1, on the CPU; sampled on the generator's device."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(n, generator=generator, dtype=torch.float64, device=device).cpu()


@lru_cache(maxsize=64)
def _field(shape: tuple[int, ...], cutoff: float, rule: CutoffRule) -> SineField:
    """`SineField` of images of one size; cached, because modes and folding probabilities are costly."""
    return SineField(shape, cutoff=cutoff, rule=rule)
