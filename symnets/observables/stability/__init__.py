"""Stability of networks under deformations of their images, relative to noise: D, G and R, layer by layer."""

from symnets.observables.stability.images import Field
from symnets.observables.stability.measure import stability
from symnets.observables.stability.result import Estimate, Stability

__all__ = ["Estimate", "Field", "Stability", "stability"]
