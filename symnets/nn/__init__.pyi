from ._activations import Gate as Gate
from ._activations import NormActivation as NormActivation
from ._attention import Attention as Attention
from ._cartesian import irreps_to_matrix as irreps_to_matrix
from ._cartesian import matrix_to_irreps as matrix_to_irreps
from ._circular_convolution import CircularConvolution as CircularConvolution
from ._circular_convolution import MagnitudeActivation as MagnitudeActivation
from ._circular_convolution import Magnitudes as Magnitudes
from ._convolution import Convolution as Convolution
from ._convolution import tabulate as tabulate
from ._density import Density as Density
from ._dropout import Dropout as Dropout
from ._e3nn import as_e3nn as as_e3nn
from ._e3nn import from_e3nn_module as from_e3nn_module
from ._e3nn_layers import E3nnConvolution as E3nnConvolution
from ._edges import EdgeGeometry as EdgeGeometry
from ._edges import Edges as Edges
from ._envelopes import cosine_envelope as cosine_envelope
from ._envelopes import polynomial_envelope as polynomial_envelope
from ._envelopes import xplor_envelope as xplor_envelope
from ._input_features import InputFeatures as InputFeatures
from ._interaction import Interaction as Interaction
from ._linear import Linear as Linear
from ._linear import SpeciesLinear as SpeciesLinear
from ._many_body import ManyBodyInteraction as ManyBodyInteraction
from ._many_body import ManyBodyProduct as ManyBodyProduct
from ._mlp import MLP as MLP
from ._mlp import SILU_NORM as SILU_NORM
from ._modification import HOOKS as HOOKS
from ._modification import modification as modification
from ._norms import BatchNorm as BatchNorm
from ._norms import LayerNorm as LayerNorm
from ._norms import RMSNorm as RMSNorm
from ._pair_interaction import PairEmbedding as PairEmbedding
from ._pair_interaction import PairInteraction as PairInteraction
from ._products import FullyConnectedTensorProduct as FullyConnectedTensorProduct
from ._products import SelfInteraction as SelfInteraction
from ._products import TensorSquare as TensorSquare
from ._radial import BesselBasis as BesselBasis
from ._radial import ChebyshevBasis as ChebyshevBasis
from ._radial import GaussianBasis as GaussianBasis
from ._radial import SineBasis as SineBasis
from ._rotations import SO3Grid as SO3Grid
from ._species import AtomicEnergy as AtomicEnergy
from ._species import SpeciesIndex as SpeciesIndex
from ._species import species_numbers as species_numbers
from ._sphere import S2Grid as S2Grid
from ._sphere_convolution import S2Convolution as S2Convolution
from ._sphere_convolution import SO3Activation as SO3Activation
from ._sphere_convolution import SO3BatchNorm as SO3BatchNorm
from ._sphere_convolution import SO3Convolution as SO3Convolution
from ._transformed_radial import AgnesiTransform as AgnesiTransform
from ._transformed_radial import PairKinds as PairKinds
from ._transformed_radial import SoftTransform as SoftTransform
from ._transformed_radial import TransformedBasis as TransformedBasis
from ._voxel_convolution import VoxelConvolution as VoxelConvolution

__all__ = [
    "HOOKS",
    "MLP",
    "SILU_NORM",
    "AgnesiTransform",
    "AtomicEnergy",
    "Attention",
    "BatchNorm",
    "BesselBasis",
    "ChebyshevBasis",
    "CircularConvolution",
    "Convolution",
    "Density",
    "Dropout",
    "E3nnConvolution",
    "EdgeGeometry",
    "Edges",
    "FullyConnectedTensorProduct",
    "Gate",
    "GaussianBasis",
    "InputFeatures",
    "Interaction",
    "LayerNorm",
    "Linear",
    "MagnitudeActivation",
    "Magnitudes",
    "ManyBodyInteraction",
    "ManyBodyProduct",
    "NormActivation",
    "PairEmbedding",
    "PairInteraction",
    "PairKinds",
    "RMSNorm",
    "S2Convolution",
    "S2Grid",
    "SO3Activation",
    "SO3BatchNorm",
    "SO3Convolution",
    "SO3Grid",
    "SelfInteraction",
    "SineBasis",
    "SoftTransform",
    "SpeciesIndex",
    "SpeciesLinear",
    "TensorSquare",
    "TransformedBasis",
    "VoxelConvolution",
    "as_e3nn",
    "cosine_envelope",
    "from_e3nn_module",
    "irreps_to_matrix",
    "matrix_to_irreps",
    "modification",
    "polynomial_envelope",
    "species_numbers",
    "tabulate",
    "xplor_envelope",
]
