"""GaussianField: white noise smoothed by a Gaussian, known at every point."""

import math
from collections.abc import Sequence

import torch

from symnets.diffeo._basis import SineBasis
from symnets.diffeo._field import Field, image_shape

NEGLIGIBLE = 1e-8
"""Amplitude, relative to the largest, below which a wave is left out."""


class GaussianField(Field):
    """White noise smoothed by a Gaussian of width σ: the elastic deformations of Simard et al. 2003, with
    two differences. The border stays where it is, as if the noise went on beyond it with opposite sign, so
    that what does not fold is one-to-one. The scale is the typical displacement δ, exactly.

    Smoothing is the flow of heat from a border kept cold, for a time σ²/2. It damps waves,

        u_a(x) = Σ_k C_(a,k) Π_b sin(π k_b x_b / e_b),     A_k ∝ exp(-σ² κ_k² / 2),     κ_b = π k_b / e_b,

    so this is a `SineField` with another spectrum. The noise of n pixels has waves up to k_b = n_b - 2. A few
    σ away from the border, displacements at a distance r are correlated as exp(-r² / (4 σ²)).

    In other libraries u is noise, uniform in (-α, α) for each pixel, smoothed with weights that sum to 1.
    In two dimensions this has δ = α / (σ √(6π)) away from the border, if σ is at least about a pixel.

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
        # Relative to the longest wave: a wide Gaussian in a small image damps it below what floats hold.
        amplitudes = ((1 - modes.square()) * rates).sum(1).exp()
        kept = amplitudes > NEGLIGIBLE
        modes, amplitudes = modes[kept], amplitudes[kept]
        # A product of d sines squared has the mean 2^-d, for each of d components.
        amplitudes = amplitudes / (len(pixels) * 2.0 ** -len(pixels) * amplitudes.square().sum()).sqrt()
        super().__init__(SineBasis(extents, tuple(modes.amax(0).tolist())), modes, amplitudes, pixels)

    def __repr__(self) -> str:
        return f"GaussianField({self.shape}, sigma={self.sigma:g})"

    @property
    def probe_shape(self) -> tuple[int, ...]:
        """Points along each axis that show the finest structure: σ/3 apart, or half a pixel."""
        step = max(self.sigma / 3, 0.5)
        return tuple(max(math.ceil(extent / step), 4) + 1 for extent in self.basis.extents)
