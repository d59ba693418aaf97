"""Deformations of maximum entropy at a given temperature: random sums of sine waves."""

import math
from collections.abc import Sequence

from jaxtyping import Float64
from torch import Tensor

from symnets.diffeo._basis import SineBasis
from symnets.diffeo._expansion import POINTS_PER_HALF_WAVE
from symnets.diffeo._field import Field, FoldingWarning, image_shape, not_negative, warn_caller
from symnets.diffeo._temperature import (
    CutoffRule,
    kept_modes,
    temperature,
    temperature_range,
    typical_displacement,
)

WARN_ABOVE = 0.1
"""Folding probability above which a warning is emitted for small cutoffs, where T2 is not defined."""


class SineField(Field):
    """Random deformations of maximum entropy at a given mean of ∫ ‖∇τ‖² and with a fixed border.

    Petrini et al. 2021 (arXiv:2105.02468), equation 2:

        u_a(x) = Σ_k C_(a,k) Π_b sin(π k_b x_b / (n_b - 1)),     C_(a,k) ~ N(0, L² T / κ_k²)  independent,

    over the modes up to a cutoff on their wave number κ_k (`kept_modes`), with n_b pixels along axis b and
    L = (Π n_b)^(1/d) pixels. In a square of n x n pixels u = n τ with the τ of the paper, so that C / n has
    variance T / (k_1² + k_2²). In rectangles, waves of equal length have equal amplitude.

    Args:
        shape: pixels along each axis: (rows, columns) or (depth, rows, columns).
        cutoff: c, the largest wave number κ; about 3 for deformations of the whole image, 15 for details.
        rule: "disc" keeps κ <= c as in the paper, "half" κ < c + 1/2 as in the code published with it.

    Raises:
        ValueError: a cutoff below the smallest wave number, or above what the pixels resolve.

    Example:
        >>> field = SineField((28, 28), cutoff=3)
        >>> diffeo = field.sample(100, delta=1.0, generator=torch.Generator().manual_seed(0))
        >>> diffeo.warp(torch.rand(100, 1, 28, 28)).shape
        torch.Size([100, 1, 28, 28])
    """

    def __init__(self, shape: Sequence[int], *, cutoff: float, rule: CutoffRule = "disc") -> None:
        pixels = image_shape(shape)
        self._set(tuple(map(float, pixels)), tuple(n - 1.0 for n in pixels), cutoff, rule, pixels)
        for n, size in zip(pixels, self.basis.sizes, strict=True):
            if size > n - 2:
                raise ValueError(
                    f"cutoff: {cutoff:g} has modes with {size} half periods along an axis of {n} pixels, "
                    f"which resolves {n - 2}; pass a smaller cutoff"
                )

    @classmethod
    def in_box(cls, lengths: Sequence[float], *, cutoff: float, rule: CutoffRule = "disc") -> "SineField":
        """Deformations of points in a box [0, L_1] x [0, L_2] (x [0, L_3]), in any unit, without pixels.

        Displacements and `delta` have the unit of the lengths.

        Raises:
            ValueError: another number of lengths than 2 or 3.
        """
        field = cls.__new__(cls)
        if len(lengths) not in (2, 3):
            raise ValueError(f"lengths: expected 2 or 3, got {tuple(lengths)}")
        sides = tuple(float(length) for length in lengths)
        field._set(sides, sides, cutoff, rule, None)
        return field

    def _set(
        self,
        lengths: tuple[float, ...],
        extents: tuple[float, ...],
        cutoff: float,
        rule: CutoffRule,
        shape: tuple[int, ...] | None,
    ) -> None:
        self.lengths, self.cutoff = lengths, float(cutoff)
        self.rule: CutoffRule = rule
        modes, self.waves = kept_modes(lengths, self.cutoff, rule)
        length = math.prod(lengths) ** (1 / len(lengths))
        amplitudes = length * math.sqrt(self.temperature(1.0)) / self.waves
        super().__init__(SineBasis(extents, tuple(modes.amax(0).tolist())), modes, amplitudes, shape)

    def __repr__(self) -> str:
        call = f"SineField.in_box({self.lengths}" if self.shape is None else f"SineField({self.shape}"
        return f"{call}, cutoff={self.cutoff:g}, rule={self.rule!r})"

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis at which folds are checked: four in the shortest half wave."""
        return tuple(POINTS_PER_HALF_WAVE * size + 1 for size in self.basis.sizes)

    def temperature(self, delta: float, *, exact: bool = True) -> float:
        """Temperature T at which the root mean square displacement is `delta` pixels."""
        return temperature(delta, self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def typical_displacement(self, temperature: float, *, exact: bool = True) -> float:
        """Root mean square displacement in pixels at a temperature."""
        return typical_displacement(temperature, self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def temperature_range(self, *, exact: bool = True) -> tuple[float, float]:
        """Temperatures T1 and T2, between which deformations are visible and rarely fold."""
        return temperature_range(self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def _deltas(
        self, n: int, temperature: float | Tensor | None, delta: float | Tensor | None
    ) -> Float64[Tensor, " n"]:
        if (temperature is None) == (delta is None):
            raise ValueError("temperature, delta: expected exactly one of the two, got both or neither")
        if temperature is None:
            return super()._deltas(n, None, delta)
        return not_negative(temperature, n, "temperature").sqrt() * self.typical_displacement(1.0)

    def _warn_of_folds(self, delta: float) -> None:
        hottest = self.temperature(delta)
        remedy = "bijective=True samples only one-to-one fields"
        if self.cutoff < 2:
            # T2 ∝ 1 / (c² ln c) has no meaning for a few modes (it diverges at c = 1), so folds are counted.
            probability = self.folding_probability(delta=delta)
            if probability > WARN_ABOVE:
                warn_caller(
                    f"T = {hottest:.3g}: a field folds with probability {probability:.2g}. {remedy}",
                    FoldingWarning,
                )
            return
        highest = self.temperature_range()[1]
        if hottest > highest * (1 + 1e-9):
            probability = self.folding_probability(delta=delta)
            warn_caller(
                f"T = {hottest:.3g} is above the allowed range of cutoff {self.cutoff:g}, which ends at T2 = "
                f"{highest:.3g}: a field folds with probability {probability:.2g}. {remedy}",
                FoldingWarning,
            )
