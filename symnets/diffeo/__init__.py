"""Deformations of images, volumes and points: random smooth fields of known size, exact maps."""

from symnets.diffeo.affine import Affine
from symnets.diffeo.boxes import push_boxes
from symnets.diffeo.bspline import BSplineField
from symnets.diffeo.composition import Composition
from symnets.diffeo.deform_points import deform_points
from symnets.diffeo.diffeo import Diffeo
from symnets.diffeo.expansion import Expansion
from symnets.diffeo.field import Field
from symnets.diffeo.folding import FoldingWarning
from symnets.diffeo.gaussian import GaussianField
from symnets.diffeo.inverse import Inverse
from symnets.diffeo.isotropic_noise import isotropic_noise
from symnets.diffeo.key_points import push_key_points
from symnets.diffeo.random_affine import random_affine
from symnets.diffeo.random_diffeo import RandomDiffeo
from symnets.diffeo.sine_field import SineField
from symnets.diffeo.temperature import temperature, temperature_range, typical_displacement

__all__ = [
    "Affine",
    "BSplineField",
    "Composition",
    "Diffeo",
    "Expansion",
    "Field",
    "FoldingWarning",
    "GaussianField",
    "Inverse",
    "RandomDiffeo",
    "SineField",
    "deform_points",
    "isotropic_noise",
    "push_boxes",
    "push_key_points",
    "random_affine",
    "temperature",
    "temperature_range",
    "typical_displacement",
]
