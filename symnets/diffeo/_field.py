"""Random fields of known typical displacement: sampling, folds, and warnings of folds."""

import math
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Generator, Tensor

from symnets.diffeo._basis import Basis
from symnets.diffeo._expansion import POINTS_PER_HALF_WAVE, Expansion
from symnets.diffeo._preimage import determinant

N_PROBES = 400
"""Fields sampled to estimate the probability of folds."""

PATIENCE = 200
"""Largest number of samples in a row that all fold, before rejection sampling gives up."""


class Field(ABC):
    """Random displacement fields with Gaussian coefficients: the base class of all random fields.

    A displacement is a sum of basis functions with independent coefficients,

        u_a(x) = Σ_k C_(a,k) φ_k(x),     C_(a,k) ~ N(0, δ² A_k²),

    normalised so that the mean of ‖u‖² over fields and over the domain is δ².

    Attributes:
        basis: the functions φ_k, which vanish on the border.
        modes: indices k of the modes in use, (modes, dim); each component counts from 1.
        amplitudes: A_k of these modes, (modes,), float64.
        shape: pixels along each axis; None for fields of points without a grid of pixels.
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
        """Number of modes in use, each with `dim` coefficients."""
        return len(self.modes)

    @property
    @abstractmethod
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis at which folds are checked; they resolve the finest structure."""

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
        """Samples n fields.

        Fields are sampled in float64 on the generator's device, where they are also checked for folds: equal
        generators give equal fields in any dtype and on any device. With a generator on the CPU, copying the
        fields to a GPU does not synchronise with it.

        Args:
            n: number of fields.
            temperature: T, one number, or one for each field, (n,); only for a `SineField`.
            delta: typical displacement δ in pixels, in place of the temperature.
            generator: source of the coefficients; None is torch's default generator.
            bijective: whether to reject and resample fields that are not one-to-one; the accepted fraction is
                the attribute `acceptance` of the result.
            dtype: of the fields; by default torch's default dtype.
            device: of the fields; by default that of the generator.

        Raises:
            ValueError: a negative temperature, both or neither of temperature and delta, a dtype that is not
                floating-point, or 200 samples in a row were not one-to-one, so that fewer than about one
                field in a hundred is.

        Warns:
            FoldingWarning: the temperature is above T2 (`SineField.temperature_range`); the message gives
                the probability of folds.
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
        """Samples one field for each δ as `sample` does, without the warning of folds.

        To sample repeatedly, call `warn_of_folds` once and then this method.

        Raises:
            ValueError: a dtype that is not floating-point.
        """
        source = torch.device("cpu") if generator is None else generator.device
        device = source if device is None else torch.device(device)
        dtype = dtype or torch.get_default_dtype()
        if not dtype.is_floating_point:
            raise ValueError(f"dtype: expected a floating-point dtype, got {dtype}")
        if float(deltas.max()) == 0:
            zeros = torch.zeros(len(deltas), self.dim, *self.basis.sizes, dtype=dtype, device=device)
            return Expansion(
                self.basis, zeros, self.shape, is_identity=True, acceptance=1.0 if bijective else None
            )
        if not bijective:
            coefficients, acceptance = self._draw(deltas.to(source), generator), None
        else:
            coefficients, acceptance = self._draw_bijective(deltas.to(source), generator)
        fields = Expansion(self.basis, coefficients, self.shape, acceptance=acceptance)
        return fields.to(device=device, dtype=dtype)

    def warn_of_folds(self, *, temperature: float | None = None, delta: float | None = None) -> None:
        """Emits the `FoldingWarning` of `sample` for this strength, at the line that called into symnets."""
        largest = float(self._deltas(1, temperature, delta))
        if largest > 0:
            self._warn_of_folds(largest)

    def expansion(self, coefficients: Float[Tensor, "n dim modes"]) -> Expansion:
        """The deformations with given coefficients C in pixels, in the order of `modes`.

        Raises:
            ValueError: coefficients of another shape.
        """
        size = (self.dim, self.n_modes)
        if tuple(coefficients.shape[1:]) != size:
            raise ValueError(
                f"coefficients: expected shape (n, {size[0]}, {size[1]}), got {tuple(coefficients.shape)}"
            )
        return Expansion(self.basis, self._spread(coefficients), self.shape)

    def folding_probability(self, temperature: float | None = None, *, delta: float | None = None) -> float:
        """Probability that a field folds, estimated from 400 fields with a fixed seed."""
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
            raise ValueError(f"{type(self).__name__} has no temperature; pass delta, in pixels")
        if delta is None:
            raise ValueError("delta: expected the typical displacement in pixels, got None")
        return not_negative(delta, n, "delta")

    def _warn_of_folds(self, delta: float) -> None:  # noqa: B027, most fields have no known limit
        """Warns if δ is above the known limit of the field, if it has one."""

    def _draw(self, deltas: Tensor, generator: Generator | None) -> Float64[Tensor, "n dim *sizes"]:
        size = (len(deltas), self.dim, self.n_modes)
        noise = torch.randn(size, generator=generator, dtype=torch.float64, device=deltas.device)
        return self._spread(deltas[:, None, None] * self.amplitudes.to(noise.device) * noise)

    def _spread(self, coefficients: Float[Tensor, "n dim modes"]) -> Float[Tensor, "n dim *sizes"]:
        """Coefficients of the modes in use, placed in the grid of all modes."""
        grid = coefficients.new_zeros(*coefficients.shape[:2], *self.basis.sizes)
        index = (self.modes - 1).to(grid.device).unbind(1)
        grid[(slice(None), slice(None), *index)] = coefficients
        return grid

    def _draw_bijective(self, deltas: Tensor, generator: Generator | None) -> tuple[Tensor, float]:
        missing = torch.ones(len(deltas), dtype=torch.bool, device=deltas.device)
        accepted, n_sampled, n_rejected = torch.empty(0), 0, 0
        while n_rejected < PATIENCE:
            samples = self._draw(deltas[missing], generator)
            accepted = samples if n_sampled == 0 else accepted
            n_sampled += len(samples)
            good = self._one_to_one(samples)
            n_rejected = 0 if bool(good.any()) else n_rejected + len(samples)
            rows = missing.nonzero()[:, 0]
            accepted[rows[good]] = samples[good]
            missing[rows[good]] = False
            if not missing.any():
                return accepted, len(deltas) / n_sampled
        raise ValueError(
            f"sample: no one-to-one field was found for {int(missing.sum())} of {len(deltas)}; the last "
            f"{n_rejected} samples all fold. A typical displacement of {float(deltas[missing].max()):.3g} is "
            f"too large for {self!r}"
        )

    def _one_to_one(self, coefficients: Tensor) -> Bool[Tensor, " n"]:
        if self.shape is None:
            return one_to_one(on_grid(self.basis, coefficients, self.probe_shape))
        return one_to_one(Expansion(self.basis, coefficients, self.shape))


def on_grid(basis: Basis, coefficients: Float[Tensor, "n dim *modes"], shape: Sequence[int]) -> Expansion:
    """The same deformations on a grid with another number of points.

    Component b of the displacement is scaled like coordinate b, so that ∂h does not change.
    """
    extents = [n - 1.0 for n in shape]
    scale = [new / old for new, old in zip(extents, basis.extents, strict=True)]
    factor = coefficients.new_tensor(scale).reshape(1, -1, *[1] * len(shape))
    return Expansion(basis.resized(extents), coefficients * factor, shape)


def one_to_one(diffeo: Expansion, *, refine: int = 2, numbers: int = 2**22) -> Bool[Tensor, " n"]:
    """`Diffeo.is_bijective` of many deformations, evaluated at no more than `numbers` points at once.

    A coarse grid detects most folds; the full grid is evaluated only where the coarse one detects none.
    """
    shape = diffeo.grid_shape
    step = min(
        (n - 1) // (POINTS_PER_HALF_WAVE * size) for n, size in zip(shape, diffeo.basis.sizes, strict=True)
    )
    bijective = torch.ones(diffeo.n, dtype=torch.bool, device=diffeo.device)
    for refinement, stride in ((1, max(step, 1)), (refine, 1)):
        candidates = bijective.nonzero()[:, 0]
        points = math.prod((n - 1) * refinement // stride + 1 for n in shape)
        for rows in candidates.split(max(1, numbers // points)):
            with torch.no_grad():
                det = determinant(diffeo[rows].strided_jacobian(refinement, stride))
            bijective[rows] = det.flatten(1).amin(1) > 0
    return bijective


SKIPPED = ("symnets", "torch", "torchvision", "jaxtyping", "beartype")
"""Packages that are skipped when the caller's line is determined."""


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Emits a warning at the innermost calling line outside of `SKIPPED`, shown once for each such line."""
    frame, level = sys._getframe(1), 2
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in SKIPPED:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


class FoldingWarning(UserWarning):
    """Warning that deformations are so strong that some of them are not one-to-one."""


def not_negative(given: float | Tensor, n: int, name: str) -> Float64[Tensor, " n"]:
    """Numbers >= 0 for n fields, on the CPU, from one number for all fields or n numbers.

    Raises:
        ValueError: a negative or infinite number, or neither one number nor n numbers.
    """
    values = torch.as_tensor(given, dtype=torch.float64).cpu()
    if values.ndim > 1 or values.numel() not in (1, n):
        raise ValueError(f"{name}: expected one number, or {n}, got shape {tuple(values.shape)}")
    if not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(f"{name}: expected numbers >= 0, got {given}")
    return values.expand(n)


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(rows, columns) or (depth, rows, columns) as integers.

    Raises:
        ValueError: another number of axes, or fewer than 3 pixels along an axis, so that no pixel is inside.
    """
    if any(n != int(n) for n in shape):
        raise ValueError(f"shape: expected integer numbers of pixels, got {tuple(shape)}")
    pixels = tuple(int(n) for n in shape)
    if len(pixels) not in (2, 3) or min(pixels) < 3:
        raise ValueError(f"shape: expected 2 or 3 axes of at least 3 pixels, got {pixels}")
    return pixels
