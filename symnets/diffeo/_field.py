"""Strength: numbers that say how strong deformations are.

Field: random deformations of a known typical displacement, whatever their basis.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Generator, Tensor

from symnets.diffeo._basis import Basis
from symnets.diffeo._expansion import Expansion
from symnets.diffeo._folding import on_grid, one_to_one


def not_negative(given: float | Tensor, n: int, name: str) -> Float64[Tensor, " n"]:
    """One number for each of n fields, or one for all, on the CPU.

    Raises:
        ValueError: a negative or infinite number, or as many as do not fit.
    """
    values = torch.as_tensor(given, dtype=torch.float64).cpu()
    if values.ndim > 1 or values.numel() not in (1, n):
        raise ValueError(f"{name}: expected one number, or {n}, got shape {tuple(values.shape)}")
    if not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(f"{name}: expected numbers >= 0, got {given}")
    return values.expand(n)


N_PROBES = 400
"""Fields drawn to estimate how probable folds are."""

PATIENCE = 200
"""Draws in a row that all fold, after which no more are tried."""


class Field(ABC):
    """Random displacements with independent Gaussian coefficients,

        u_a(x) = Σ_k C_(a,k) φ_k(x),     C_(a,k) ~ N(0, δ² A_k²),

    where the mean of ‖u‖² over fields and over the domain is δ².

    Attributes:
        basis: the φ; they vanish on the border.
        modes: k of the functions that are kept, (modes, dim), each component counted from 1.
        amplitudes: A_k, (modes,), float64.
        shape: pixels along each axis; None if there is no grid, only points.
    """

    basis: Basis
    modes: Int64[Tensor, "modes dim"]
    amplitudes: Float64[Tensor, " modes"]
    shape: tuple[int, ...] | None

    def __init__(
        self, basis: Basis, modes: Tensor, amplitudes: Tensor, shape: tuple[int, ...] | None
    ) -> None:
        self.basis, self.modes, self.amplitudes, self.shape = basis, modes, amplitudes, shape
        self._folds: dict[float, float] = {}

    @property
    def dim(self) -> int:
        """Dimensions of space."""
        return len(self.basis.sizes)

    @property
    def n_modes(self) -> int:
        """Functions kept, each with `dim` coefficients."""
        return len(self.modes)

    @property
    @abstractmethod
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis that show the finest structure, for looking for folds."""

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

        They are drawn in float64 where the generator is, and looked at for folds there: the same generator
        gives the same fields in any dtype and on any device. With a generator of the CPU, nothing waits for a
        GPU that they go to.

        Args:
            n: how many.
            temperature: T, of all fields or one for each, (n,); of a `SineField` only.
            delta: typical displacement δ in pixels, in place of the temperature.
            generator: source of the coefficients; None is torch's own.
            bijective: draw anew what is not one-to-one; the result tells the fraction kept, `acceptance`.
            dtype: of the fields, torch's default if None.
            device: of the fields, that of the generator if None.

        Raises:
            ValueError: a negative temperature, both or neither of temperature and delta, a dtype that is not
                floating, or fewer than about one field in a hundred is one-to-one: 200 draws in a row were
                not.

        Warns:
            FoldingWarning: the temperature is above T2 (`SineField.temperature_range`), with the
                probability of folds.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1, got {n}")
        deltas = self._deltas(n, temperature, delta)
        if not bijective and float(deltas.max()) > 0:
            self._warn_of_folds(float(deltas.max()))
        return self.draw(deltas, generator=generator, bijective=bijective, dtype=dtype, device=device)

    def draw(
        self,
        deltas: Float64[Tensor, " n"],
        *,
        generator: Generator | None,
        bijective: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Expansion:
        """As `sample`, one field for each δ, without a warning: for those who draw often and call
        `warn_of_folds` once.
        """
        where = torch.device("cpu") if generator is None else generator.device
        device = where if device is None else torch.device(device)
        dtype = dtype or torch.get_default_dtype()
        if not dtype.is_floating_point:
            raise ValueError(f"dtype: expected a floating one, got {dtype}")
        if float(deltas.max()) == 0:
            none = torch.zeros(len(deltas), self.dim, *self.basis.sizes, dtype=dtype, device=device)
            return Expansion(
                self.basis, none, self.shape, is_identity=True, acceptance=1.0 if bijective else None
            )
        if not bijective:
            drawn, acceptance = self._draw(deltas.to(where), generator), None
        else:
            drawn, acceptance = self._draw_bijective(deltas.to(where), generator)
        drawn = Expansion(self.basis, drawn, self.shape, acceptance=acceptance)
        return drawn.to(device=device, dtype=dtype)

    def warn_of_folds(self, *, temperature: float | None = None, delta: float | None = None) -> None:
        """Warns of what `sample` warns of, at the line that called into symnets."""
        largest = float(self._deltas(1, temperature, delta))
        if largest > 0:
            self._warn_of_folds(largest)

    def expansion(self, coefficients: Float[Tensor, "n dim modes"]) -> Expansion:
        """The deformations of given coefficients C, in the order of `modes`, in pixels."""
        size = (self.dim, self.n_modes)
        if tuple(coefficients.shape[1:]) != size:
            raise ValueError(
                f"coefficients: expected shape (n, {size[0]}, {size[1]}), got {tuple(coefficients.shape)}"
            )
        return Expansion(self.basis, self._spread(coefficients), self.shape)

    def folding_probability(self, temperature: float | None = None, *, delta: float | None = None) -> float:
        """Fraction of fields that fold, among 400 drawn from a fixed seed."""
        deltas = self._deltas(N_PROBES, temperature, delta)
        key = float(deltas[0])
        if key not in self._folds:
            probes = on_grid(self.basis, self._draw(deltas, Generator().manual_seed(0)), self.probe_shape)
            self._folds[key] = 1 - float(one_to_one(probes).to(torch.float64).mean())
        return self._folds[key]

    def _deltas(
        self, n: int, temperature: float | Tensor | None, delta: float | Tensor | None
    ) -> Float64[Tensor, " n"]:
        """δ of each field, on the CPU."""
        if temperature is not None:
            raise ValueError(f"{type(self).__name__} has no temperature; give delta, in pixels")
        if delta is None:
            raise ValueError("expected delta, the typical displacement in pixels")
        return not_negative(delta, n, "delta")

    def _warn_of_folds(self, delta: float) -> None:  # noqa: B027, no limit is known for most
        """Warns if δ is known to be too large."""

    def _draw(self, deltas: Tensor, generator: Generator | None) -> Float64[Tensor, "n dim *sizes"]:
        size = (len(deltas), self.dim, self.n_modes)
        noise = torch.randn(size, generator=generator, dtype=torch.float64, device=deltas.device)
        return self._spread(deltas[:, None, None] * self.amplitudes.to(noise.device) * noise)

    def _spread(self, coefficients: Float[Tensor, "n dim modes"]) -> Float[Tensor, "n dim *sizes"]:
        """Coefficients of what is kept in the grid of all functions."""
        grid = coefficients.new_zeros(*coefficients.shape[:2], *self.basis.sizes)
        index = (self.modes - 1).to(grid.device).unbind(1)
        grid[(slice(None), slice(None), *index)] = coefficients
        return grid

    def _draw_bijective(self, deltas: Tensor, generator: Generator | None) -> tuple[Tensor, float]:
        missing = torch.ones(len(deltas), dtype=torch.bool, device=deltas.device)
        kept, tried, in_vain = torch.empty(0), 0, 0
        while in_vain < PATIENCE:
            drawn = self._draw(deltas[missing], generator)
            kept = drawn if tried == 0 else kept
            tried += len(drawn)
            good = self._one_to_one(drawn)
            in_vain = 0 if bool(good.any()) else in_vain + len(drawn)
            rows = missing.nonzero()[:, 0]
            kept[rows[good]] = drawn[good]
            missing[rows[good]] = False
            if not missing.any():
                return kept, len(deltas) / tried
        raise ValueError(
            f"sample: {int(missing.sum())} of {len(deltas)} fields were never one-to-one, the last {in_vain} "
            f"draws in a row; a typical displacement of {float(deltas[missing].max()):.3g} is too large for "
            f"{self!r}"
        )

    def _one_to_one(self, coefficients: Tensor) -> Bool[Tensor, " n"]:
        if self.shape is None:
            return one_to_one(on_grid(self.basis, coefficients, self.probe_shape))
        return one_to_one(Expansion(self.basis, coefficients, self.shape))


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(rows, columns) or (depth, rows, columns), as whole numbers.

    Raises:
        ValueError: another number of axes, or fewer than 3 pixels, of which none is inside.
    """
    if any(n != int(n) for n in shape):
        raise ValueError(f"shape: expected whole numbers of pixels, got {tuple(shape)}")
    pixels = tuple(int(n) for n in shape)
    if len(pixels) not in (2, 3) or min(pixels) < 3:
        raise ValueError(f"shape: expected 2 or 3 axes of at least 3 pixels, got {pixels}")
    return pixels
