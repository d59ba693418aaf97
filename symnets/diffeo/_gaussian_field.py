"""Elastic deformations: white noise smoothed by a Gaussian, as a sum of sine waves."""

import math
from collections.abc import Sequence

import torch

from symnets.diffeo._basis import SineBasis
from symnets.diffeo._field import Field, image_shape

NEGLIGIBLE = 1e-8
"""Amplitude, relative to the largest, below which a mode is omitted."""


class GaussianField(Field):
    """Elastic deformations: white noise smoothed by a Gaussian of width σ, after Simard et al. 2003.

    There are two differences from the original. The border does not move, as if the noise were continued
    beyond it with opposite sign, so that a field that does not fold is one-to-one. The typical displacement δ
    sets the scale exactly.

    Smoothing is the heat equation with zero boundary values, integrated for a time σ²/2. It damps modes,

        u_a(x) = Σ_k C_(a,k) Π_b sin(π k_b x_b / e_b),     A_k ∝ exp(-σ² κ_k² / 2),     κ_b = π k_b / e_b,

    so this is a sum of sines like `SineField`, with another spectrum. Noise on n_b pixels has modes up to
    k_b = n_b - 2. A few σ from the border, displacements at distance r have correlation exp(-r² / (4 σ²)).

    Other libraries smooth noise that is uniform in (-α, α) at each pixel, with weights that sum to 1. In two
    dimensions, away from the border and for σ of about a pixel or more, this gives δ = α / (σ √(6π)).

    Args:
        shape: pixels along each axis: (rows, columns) or (depth, rows, columns).
        sigma: σ in pixels.

    Raises:
        ValueError: σ is not positive.

    Example:
        >>> diffeo = GaussianField((28, 28), sigma=4).sample(100, delta=1.0, generator=None)
    """

    def __init__(self, shape: Sequence[int], *, sigma: float) -> None:
        pixels = image_shape(shape)
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma: expected a positive number of pixels, got {sigma}")
        self.sigma = float(sigma)
        extents = tuple(n - 1.0 for n in pixels)
        modes = torch.cartesian_prod(*[torch.arange(1, n - 1, device="cpu") for n in pixels])
        waves = torch.tensor(extents, dtype=torch.float64, device="cpu") / (math.pi * self.sigma)
        rates = waves.pow(-2) / 2
        # Relative to the longest wave, since exp(-σ² κ² / 2) underflows if σ is comparable with the image.
        amplitudes = ((1 - modes.square()) * rates).sum(1).exp()
        relevant = amplitudes > NEGLIGIBLE
        modes, amplitudes = modes[relevant], amplitudes[relevant]
        # The mean square of a product of d sines is 2^-d, and there are d components.
        amplitudes = amplitudes / (len(pixels) * 2.0 ** -len(pixels) * amplitudes.square().sum()).sqrt()
        super().__init__(SineBasis(extents, tuple(modes.amax(0).tolist())), modes, amplitudes, pixels)

    def __repr__(self) -> str:
        return f"GaussianField({self.shape}, sigma={self.sigma:g})"

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis at which folds are checked: σ/3 apart, but at least half a pixel."""
        step = max(self.sigma / 3, 0.5)
        return tuple(max(math.ceil(extent / step), 4) + 1 for extent in self.basis.extents)
