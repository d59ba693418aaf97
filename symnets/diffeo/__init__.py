"""Deformations of images, volumes and points: maximum-entropy fields at a temperature, exact maps."""

from symnets.diffeo.composition import Composition
from symnets.diffeo.diffeo import Diffeo
from symnets.diffeo.expansion import Expansion
from symnets.diffeo.inverse import Inverse
from symnets.diffeo.sine_field import FoldingWarning, SineField
from symnets.diffeo.temperature import temperature, temperature_range, typical_displacement

__all__ = [
    "Composition",
    "Diffeo",
    "Expansion",
    "FoldingWarning",
    "Inverse",
    "SineField",
    "temperature",
    "temperature_range",
    "typical_displacement",
]
