from ._affine import Affine as Affine
from ._affine import random_affine as random_affine
from ._boxes import push_boxes as push_boxes
from ._boxes import push_key_points as push_key_points
from ._bspline_field import BSplineField as BSplineField
from ._deform_points import deform_points as deform_points
from ._deform_points import isotropic_noise as isotropic_noise
from ._diffeo import Composition as Composition
from ._diffeo import Diffeo as Diffeo
from ._diffeo import Inverse as Inverse
from ._expansion import Expansion as Expansion
from ._field import Field as Field
from ._field import FoldingWarning as FoldingWarning
from ._gaussian_field import GaussianField as GaussianField
from ._molecules import deform_atoms as deform_atoms
from ._molecules import deform_graph as deform_graph
from ._point_field import PointField as PointField
from ._random_diffeo import RandomDiffeo as RandomDiffeo
from ._sine_field import SineField as SineField
from ._temperature import CutoffRule as CutoffRule
from ._temperature import temperature as temperature
from ._temperature import temperature_range as temperature_range
from ._temperature import typical_displacement as typical_displacement

__all__ = [
    "Affine",
    "BSplineField",
    "Composition",
    "CutoffRule",
    "Diffeo",
    "Expansion",
    "Field",
    "FoldingWarning",
    "GaussianField",
    "Inverse",
    "PointField",
    "RandomDiffeo",
    "SineField",
    "deform_atoms",
    "deform_graph",
    "deform_points",
    "isotropic_noise",
    "push_boxes",
    "push_key_points",
    "random_affine",
    "temperature",
    "temperature_range",
    "typical_displacement",
]
