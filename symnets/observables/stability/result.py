"""Stability: D, G and R of a network's layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray


@dataclass(frozen=True)
class Estimate:
    """A number for each layer with its confidence interval; NaN where it is undefined."""

    value: Float[ndarray, " layers"]
    low: Float[ndarray, " layers"]
    high: Float[ndarray, " layers"]

    @classmethod
    def of(cls, intervals: Sequence[tuple[float, float, float]]) -> Self:
        """From (value, low, high) of each layer."""
        return cls(*np.array(intervals, dtype=np.float64).T)

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Where there is a value."""
        return ~np.isnan(self.value)


@dataclass(frozen=True)
class Stability:
    """How much deformations and noise of equal norm move the outputs of layers.

    With averages over images x, deformations τ, noise η and pairs of images x ≠ z,

        D = <‖f(τx) - f(x)‖²> / <‖f(x) - f(z)‖²>,   G = <‖f(x + η) - f(x)‖²> / <‖f(x) - f(z)‖²>,   R = D / G.
    """

    layers: tuple[str, ...]
    """Names in the order of execution; the model's own output is "output" and the last."""
    D: Estimate
    """Change under deformations, relative to the distance of two images."""
    G: Estimate
    """Change under noise, relative to the distance of two images."""
    R: Estimate
    """Relative stability; 1 for f(x) = x, small if f ignores deformations more than it ignores noise."""
    n_images: int
    n_draws: int
    """Deformations, and noises, an image."""
    temperature: float
    """T of the field; NaN if the field does not tell."""
    delta: float
    """Root of the mean squared displacement in pixels, exactly; NaN if the field does not tell."""
    noise_norm: float
    """Mean ‖η‖, in units of the pixels."""
    noise: str
    """Norm of the noise: "per_image" or "mean"."""
    average: str
    """Kind of average: "mean", "median" or "reference"."""
    batch_norm: str
    """Statistics of batch normalisations: "running" or "batch"."""
    confidence: float
    """Of the intervals."""
    notes: tuple[str, ...] = ()
    """What is undefined and why."""

    @property
    def defined(self) -> Bool[ndarray, " layers"]:
        """Layers of which D, G and R all exist."""
        return self.D.defined & self.G.defined & self.R.defined

    def table(self) -> pd.DataFrame:
        """A row for each layer: D, D_low, D_high, the same of G and R."""
        columns = {}
        for name, estimate in self._estimates():
            columns |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        return pd.DataFrame(columns, index=pd.Index(self.layers, name="layer"))

    def row(self, prefix: str = "") -> dict[str, float]:
        """Numbers by name, for the row of an experiment: "D", "D_low", ... of the output, "conv1/D", ...
        of a layer, "delta" and "temperature".
        """
        found = {}
        for layer, numbers in self.table().iterrows():
            place = prefix if layer == self.layers[-1] else f"{prefix}{layer}/"
            found |= {f"{place}{name}": float(number) for name, number in numbers.items()}
        return found | {f"{prefix}delta": self.delta, f"{prefix}temperature": self.temperature}

    def __str__(self) -> str:
        shown = pd.DataFrame(index=pd.Index(self.layers))
        for name, e in self._estimates():
            shown[name] = [
                f"{v:.4g}" if np.isnan(low) else f"{v:.4g} [{low:.4g}, {high:.4g}]"
                for v, low, high in zip(e.value, e.low, e.high, strict=True)
            ]
        head = (
            f"{self.n_images} images x {self.n_draws} draws, delta {self.delta:.4g} px "
            f"(T = {self.temperature:.4g}), noise {self.noise}, average {self.average}, "
            f"{self.confidence:.0%} intervals"
        )
        return "\n".join([head, shown.to_string(), *self.notes])

    def _estimates(self) -> list[tuple[str, Estimate]]:
        return [("D", self.D), ("G", self.G), ("R", self.R)]
