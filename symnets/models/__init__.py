"""Whole networks and the wrappers around them."""

from symnets.models.activation import Activation, find_activation
from symnets.models.convolutional import Convolutional
from symnets.models.dense import Dense
from symnets.models.ensemble import Ensemble
from symnets.models.force_field import EnergyForces, ForceField
from symnets.models.from_sevennet import from_sevennet
from symnets.models.image_nets import (
    IMAGE_NETS,
    VGG,
    AlexNet,
    EfficientNet,
    FullyConnected,
    LeNet,
    ResNet,
    describe_image_net,
    image_net,
    load_image_net,
    save_image_net,
)
from symnets.models.invariant import Invariant
from symnets.models.io import describe, load, save
from symnets.models.mace import MACE
from symnets.models.nequip import NequIP
from symnets.models.parametrization import Conversion, alpha_tilde, convert
from symnets.models.sevennet import SevenNet
from symnets.models.signals import Signals, signals
from symnets.models.size import Size, size
from symnets.models.zbl import WithZBL

__all__ = [
    "IMAGE_NETS",
    "MACE",
    "VGG",
    "Activation",
    "AlexNet",
    "Conversion",
    "Convolutional",
    "Dense",
    "EfficientNet",
    "EnergyForces",
    "Ensemble",
    "ForceField",
    "FullyConnected",
    "Invariant",
    "LeNet",
    "NequIP",
    "ResNet",
    "SevenNet",
    "Signals",
    "Size",
    "WithZBL",
    "alpha_tilde",
    "convert",
    "describe",
    "describe_image_net",
    "find_activation",
    "from_sevennet",
    "image_net",
    "load",
    "load_image_net",
    "save",
    "save_image_net",
    "signals",
    "size",
]
