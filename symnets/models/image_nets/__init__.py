"""Nets that sort small images into classes, one architecture a file."""

from symnets.models.image_nets.alexnet import AlexNet
from symnets.models.image_nets.choose import IMAGE_NETS, image_net
from symnets.models.image_nets.efficientnet import EfficientNet
from symnets.models.image_nets.files import describe_image_net, load_image_net, save_image_net
from symnets.models.image_nets.fully_connected import FullyConnected
from symnets.models.image_nets.lenet import LeNet
from symnets.models.image_nets.resnet import ResNet
from symnets.models.image_nets.vgg import VGG

__all__ = [
    "IMAGE_NETS",
    "VGG",
    "AlexNet",
    "EfficientNet",
    "FullyConnected",
    "LeNet",
    "ResNet",
    "describe_image_net",
    "image_net",
    "load_image_net",
    "save_image_net",
]
