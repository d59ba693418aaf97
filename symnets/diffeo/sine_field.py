"""SineField: deformations of maximum entropy at a temperature."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from symnets.diffeo.basis import SineBasis
from symnets.diffeo.expansion import Expansion
from symnets.diffeo.folding import FoldingWarning, folding_fraction, on_fine_grid
from symnets.diffeo.modes import Rule, kept_modes
from symnets.diffeo.temperature import temperature, temperature_range, typical_displacement

N_PROBES = 400
"""Fields drawn to estimate how probable folds are."""


class SineField:
    """Random deformations of maximum entropy at a given mean ∫ ‖∇τ‖², zero on the border
    (Petrini et al. 2021, arXiv:2105.02468, equation 2):

        u_a(x) = Σ_k C_(a,k) Π_b sin(π k_b x_b / (n_b - 1)),     C_(a,k) ~ N(0, L² T / κ_k²)  independent,

    over the modes below a cutoff (`kept_modes`), with L = (Π n_b)^(1/d), in pixels. In a square of n pixels
    u = n τ with the τ of the paper: C / n has variance T / (k_1² + k_2²). Waves of equal length have equal
    amplitude in rectangles too.

    Args:
        shape: pixels along each axis: (rows, columns) or (depth, rows, columns).
        cutoff: c, the largest wave number κ; about 3 for deformations of the whole, 15 for details.
        rule: "disc" keeps κ <= c as the paper says, "half" κ < c + 1/2 as its code does.

    Raises:
        ValueError: a cutoff that keeps no mode, or waves that the pixels cannot show.

    Example:
        >>> field = SineField((28, 28), cutoff=3)
        >>> diffeo = field.sample(100, delta=1.0, generator=torch.Generator().manual_seed(0))
        >>> diffeo.warp(torch.rand(100, 1, 28, 28)).shape
        torch.Size([100, 1, 28, 28])
    """

    def __init__(self, shape: Sequence[int], *, cutoff: float, rule: Rule = "disc") -> None:
        shape = tuple(int(n) for n in shape)
        if len(shape) not in (2, 3) or min(shape) < 3:
            raise ValueError(f"shape: expected 2 or 3 axes of at least 3 pixels, got {shape}")
        self._set(tuple(map(float, shape)), tuple(n - 1.0 for n in shape), cutoff, rule)
        self.shape: tuple[int, ...] | None = shape
        for n, size in zip(shape, self.basis.sizes, strict=True):
            if size > n - 2:
                raise ValueError(
                    f"cutoff: {cutoff:g} needs waves with {size} half periods along an axis of {n} pixels, "
                    f"which can show {n - 2}; take a smaller one"
                )

    @classmethod
    def in_box(cls, lengths: Sequence[float], *, cutoff: float, rule: Rule = "disc") -> "SineField":
        """Deformations of the points of a box [0, L_1] x [0, L_2] (x [0, L_3]), in any unit, without pixels.

        Displacements, and `delta`, have the unit of the lengths.
        """
        field = cls.__new__(cls)
        if len(lengths) not in (2, 3):
            raise ValueError(f"lengths: expected 2 or 3, got {tuple(lengths)}")
        sides = tuple(float(length) for length in lengths)
        field._set(sides, sides, cutoff, rule)
        field.shape = None
        return field

    def _set(self, lengths: tuple[float, ...], extents: tuple[float, ...], cutoff: float, rule: Rule) -> None:
        self.lengths, self.cutoff = lengths, float(cutoff)
        self.rule: Rule = rule
        self.modes, self.waves = kept_modes(lengths, self.cutoff, rule)
        self.basis = SineBasis(extents, tuple(self.modes.amax(0).tolist()))
        self._folds: dict[float, float] = {}

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return len(self.lengths)

    @property
    def n_modes(self) -> int:
        """Modes kept, each with `dim` coefficients."""
        return len(self.modes)

    def __repr__(self) -> str:
        made = f"SineField.in_box({self.lengths}" if self.shape is None else f"SineField({self.shape}"
        return f"{made}, cutoff={self.cutoff:g}, rule={self.rule!r})"

    def temperature(self, delta: float, *, exact: bool = True) -> float:
        """T at which the root of the mean squared displacement is `delta` pixels."""
        return temperature(delta, self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def typical_displacement(self, temperature: float, *, exact: bool = True) -> float:
        """Root of the mean squared displacement in pixels."""
        return typical_displacement(temperature, self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def temperature_range(self, *, exact: bool = True) -> tuple[float, float]:
        """T1 and T2, between which deformations are visible and mostly do not fold."""
        return temperature_range(self.lengths, self.cutoff, rule=self.rule, exact=exact)

    def folding_probability(self, temperature: float) -> float:
        """Fraction of fields that fold at a temperature, among 400 drawn from a fixed seed."""
        values = self._temperatures(N_PROBES, temperature, None)
        if temperature not in self._folds:
            drawn = self._draw(values, Generator().manual_seed(0))
            self._folds[temperature] = folding_fraction(self.basis, drawn)
        return self._folds[temperature]

    def sample(
        self,
        n: int,
        *,
        temperature: float | Tensor | None = None,
        delta: float | Tensor | None = None,
        generator: Generator | None,
        bijective: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Expansion:
        """Draws n fields.

        They are drawn in float64 where the generator is: the same generator gives the same fields in any
        dtype and on any device.

        Args:
            n: how many.
            temperature: T, of all fields or one for each, (n,).
            delta: typical displacement in pixels, in place of the temperature.
            generator: source of the coefficients; None is torch's own.
            bijective: draw anew what is not one-to-one; the result tells the fraction kept, `acceptance`.
            dtype: of the fields, torch's default if None.
            device: of the fields, that of the generator if None.

        Raises:
            ValueError: a negative temperature, both or neither of temperature and delta, or fewer than one
                field in a thousand is one-to-one.

        Warns:
            FoldingWarning: the temperature is above T2 (`temperature_range`), with the probability of folds.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        where = torch.device("cpu") if generator is None else generator.device
        device = where if device is None else torch.device(device)
        dtype = dtype or torch.get_default_dtype()
        squared = self._temperatures(n, temperature, delta)
        hottest = float(squared.max())
        if hottest == 0:
            none = torch.zeros(n, self.dim, *self.basis.sizes, dtype=dtype, device=device)
            return Expansion(self.basis, none, self.shape, still=True, acceptance=1.0 if bijective else None)
        if not bijective:
            self._warn_of_folds(hottest)
            drawn = self._draw(squared.to(where), generator)
            return Expansion(self.basis, drawn.to(device=device, dtype=dtype), self.shape)
        drawn, acceptance = self._draw_bijective(squared.to(where), generator)
        return Expansion(self.basis, drawn.to(device=device, dtype=dtype), self.shape, acceptance=acceptance)

    def expansion(self, coefficients: Tensor) -> Expansion:
        """The deformations of given coefficients C, (n, dim, modes) in the order of `modes`, in pixels."""
        size = (self.dim, self.n_modes)
        if tuple(coefficients.shape[1:]) != size:
            raise ValueError(
                f"coefficients: expected shape (n, {size[0]}, {size[1]}), got {tuple(coefficients.shape)}"
            )
        return Expansion(self.basis, self._spread(coefficients), self.shape)

    def _temperatures(
        self, n: int, temperature: float | Tensor | None, delta: float | Tensor | None
    ) -> Tensor:
        """T of each field, (n,), float64 on the CPU."""
        given = temperature if delta is None else delta
        name = "temperature" if delta is None else "delta"
        if given is None or (temperature is not None and delta is not None):
            raise ValueError("sample: expected either temperature or delta (pixels)")
        values = torch.as_tensor(given, dtype=torch.float64).cpu().expand(n)
        if not bool(((values >= 0) & values.isfinite()).all()):
            raise ValueError(f"{name}: expected numbers >= 0, got {given}")
        return values if delta is None else values.square() * self.temperature(1.0)

    def _draw(self, temperatures: Tensor, generator: Generator | None) -> Tensor:
        size = (len(temperatures), self.dim, self.n_modes)
        noise = torch.randn(size, generator=generator, dtype=torch.float64, device=temperatures.device)
        length = math.prod(self.lengths) ** (1 / self.dim)
        amplitude = length * temperatures.sqrt()[:, None, None] / self.waves.to(noise.device)
        return self._spread(amplitude * noise)

    def _spread(self, coefficients: Tensor) -> Tensor:
        """Coefficients of the kept modes in the grid of all modes."""
        grid = coefficients.new_zeros(*coefficients.shape[:2], *self.basis.sizes)
        index = (self.modes - 1).to(grid.device).unbind(1)
        grid[(slice(None), slice(None), *index)] = coefficients
        return grid

    def _draw_bijective(self, temperatures: Tensor, generator: Generator | None) -> tuple[Tensor, float]:
        missing = torch.ones(len(temperatures), dtype=torch.bool, device=temperatures.device)
        kept, tried = torch.empty(0), 0
        for attempt in range(1000):
            drawn = self._draw(temperatures[missing], generator)
            tried += len(drawn)
            good = self._one_to_one(drawn)
            kept = drawn if attempt == 0 else kept
            rows = missing.nonzero()[:, 0]
            kept[rows[good]] = drawn[good]
            missing[rows[good]] = False
            if not missing.any():
                return kept, len(temperatures) / tried
        raise ValueError(
            f"sample: {int(missing.sum())} of {len(temperatures)} fields were never one-to-one in 1000 draws "
            f"each; T = {float(temperatures.max()):.3g} is too high for cutoff {self.cutoff:g}, "
            f"whose range ends at T2 = {self.temperature_range()[1]:.3g}"
        )

    def _one_to_one(self, coefficients: Tensor) -> Tensor:
        if self.shape is None:
            return on_fine_grid(self.basis, coefficients).is_bijective()
        return Expansion(self.basis, coefficients, self.shape).is_bijective()

    def _warn_of_folds(self, hottest: float) -> None:
        if self.cutoff <= 1:
            return
        highest = self.temperature_range()[1]
        if hottest > highest * (1 + 1e-9):
            probability = self.folding_probability(hottest)
            warnings.warn(
                f"T = {hottest:.3g} is above the allowed range of cutoff {self.cutoff:g}, which ends at T2 = "
                f"{highest:.3g}: a field folds with probability {probability:.2g}. bijective=True draws "
                "only fields that do not",
                FoldingWarning,
                stacklevel=3,
            )
