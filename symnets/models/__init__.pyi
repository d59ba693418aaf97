from ._activation import Activation as Activation
from ._activation import find_activation as find_activation
from ._alexnet import AlexNet as AlexNet
from ._allegro import Allegro as Allegro
from ._architectures import FROM_DATA as FROM_DATA
from ._architectures import architectures as architectures
from ._architectures import find_architecture as find_architecture
from ._cloud_classifier import CloudClassifier as CloudClassifier
from ._convolutional import Convolutional as Convolutional
from ._dense import Dense as Dense
from ._efficientnet import EfficientNet as EfficientNet
from ._egnn import EGNN as EGNN
from ._energy_model import EnergyModel as EnergyModel
from ._ensemble import Ensemble as Ensemble
from ._force_field import Compiled as Compiled
from ._force_field import EnergyForces as EnergyForces
from ._force_field import ForceField as ForceField
from ._foundation_file import foundation_file as foundation_file
from ._foundation_list import FOUNDATION_MODELS as FOUNDATION_MODELS
from ._foundation_list import FoundationModel as FoundationModel
from ._from_mace import from_mace as from_mace
from ._from_nequix import NEQUIX as NEQUIX
from ._from_nequix import from_nequix as from_nequix
from ._from_sevennet import from_sevennet as from_sevennet
from ._fully_connected import FullyConnected as FullyConnected
from ._harmonic_network import HarmonicNetwork2D as HarmonicNetwork2D
from ._heads import Heads as Heads
from ._heads import energy_network as energy_network
from ._heads import readout_parts as readout_parts
from ._image_net import IMAGE_NETS as IMAGE_NETS
from ._image_net import image_net as image_net
from ._image_net_layers import init_weights as init_weights
from ._image_net_layers import n_poolings as n_poolings
from ._image_net_layers import scaled as scaled
from ._import_path import import_model as import_model
from ._import_path import import_object as import_object
from ._import_path import load_weights as load_weights
from ._invariant import Invariant as Invariant
from ._keep_species import keep_species as keep_species
from ._lenet import LeNet as LeNet
from ._linearized import Linearized as Linearized
from ._load import describe as describe
from ._load import foundation_model as foundation_model
from ._load import load as load
from ._mace import MACE as MACE
from ._model_file import save as save
from ._nequip import NequIP as NequIP
from ._nequix import Nequix as Nequix
from ._on_clouds import OnClouds as OnClouds
from ._parametrization import Conversion as Conversion
from ._parametrization import alpha_tilde as alpha_tilde
from ._parametrization import convert as convert
from ._plain_point_net import PlainPointNet as PlainPointNet
from ._resnet import BasicBlock as BasicBlock
from ._resnet import ResNet as ResNet
from ._scaled import Scaled as Scaled
from ._se3_transformer import SE3Transformer as SE3Transformer
from ._sevennet import SevenNet as SevenNet
from ._signals import Signals as Signals
from ._signals import signals as signals
from ._size import Size as Size
from ._size import count_weights as count_weights
from ._size import size as size
from ._spherical_cnn import SphericalCNN as SphericalCNN
from ._steerable_cnn3d import SteerableCNN3D as SteerableCNN3D
from ._tensor_field_network import TensorFieldNetwork as TensorFieldNetwork
from ._tensor_model import TensorModel as TensorModel
from ._tensor_model import TensorPrediction as TensorPrediction
from ._tensor_output import PHYSICAL as PHYSICAL
from ._tensor_output import TensorOutput as TensorOutput
from ._tensors import Tensors as Tensors
from ._vgg import VGG as VGG
from ._weight_updates import WeightUpdates as WeightUpdates
from ._zbl import WithZBL as WithZBL

__all__ = [
    "EGNN",
    "FOUNDATION_MODELS",
    "FROM_DATA",
    "IMAGE_NETS",
    "MACE",
    "NEQUIX",
    "PHYSICAL",
    "VGG",
    "Activation",
    "AlexNet",
    "Allegro",
    "BasicBlock",
    "CloudClassifier",
    "Compiled",
    "Conversion",
    "Convolutional",
    "Dense",
    "EfficientNet",
    "EnergyForces",
    "EnergyModel",
    "Ensemble",
    "ForceField",
    "FoundationModel",
    "FullyConnected",
    "HarmonicNetwork2D",
    "Heads",
    "Invariant",
    "LeNet",
    "Linearized",
    "NequIP",
    "Nequix",
    "OnClouds",
    "PlainPointNet",
    "ResNet",
    "SE3Transformer",
    "Scaled",
    "SevenNet",
    "Signals",
    "Size",
    "SphericalCNN",
    "SteerableCNN3D",
    "TensorFieldNetwork",
    "TensorModel",
    "TensorOutput",
    "TensorPrediction",
    "Tensors",
    "WeightUpdates",
    "WithZBL",
    "alpha_tilde",
    "architectures",
    "convert",
    "count_weights",
    "describe",
    "energy_network",
    "find_activation",
    "find_architecture",
    "foundation_file",
    "foundation_model",
    "from_mace",
    "from_nequix",
    "from_sevennet",
    "image_net",
    "import_model",
    "import_object",
    "init_weights",
    "keep_species",
    "load",
    "load_weights",
    "n_poolings",
    "readout_parts",
    "save",
    "scaled",
    "signals",
    "size",
]
