"""Image nets by name."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import nn

from symnets.models._alexnet import AlexNet
from symnets.models._efficientnet import EfficientNet
from symnets.models._fully_connected import FullyConnected
from symnets.models._harmonic_network import HarmonicNetwork2D
from symnets.models._lenet import LeNet
from symnets.models._resnet import ResNet
from symnets.models._vgg import VGG
from symnets.names import did_you_mean


class _NamedNet(NamedTuple):
    """Constructor of an image net, and its description."""

    build: Callable[..., nn.Module]
    description: str


_NETS = {
    "fc2": _NamedNet(partial(FullyConnected, depth=2), "fully connected, 2 hidden layers"),
    "fc4": _NamedNet(partial(FullyConnected, depth=4), "fully connected, 4 hidden layers"),
    "lenet": _NamedNet(LeNet, "LeNet: 2 convolutions 5x5 with pooling, 3 linear layers"),
    "alexnet": _NamedNet(AlexNet, "AlexNet for small images: 5 convolutions, 3 linear layers"),
    "vgg": _NamedNet(
        partial(VGG, batch_norm=False), "VGG-11 made narrower: 8 convolutions 3x3, average over pixels"
    ),
    "vgg_bn": _NamedNet(partial(VGG, batch_norm=True), "VGG-11 made narrower, with batch normalisation"),
    "resnet": _NamedNet(ResNet, "ResNet-18 made narrower: 8 residual blocks with batch normalisation"),
    "efficientnet": _NamedNet(
        EfficientNet, "EfficientNet-B0 made shorter and narrower: 7 inverted residuals"
    ),
    "harmonic": _NamedNet(
        HarmonicNetwork2D, "harmonic network: 4 convolutions by circular harmonics, invariant under rotations"
    ),
}
IMAGE_NETS = {name: net.description for name, net in _NETS.items()}
"""Description of each image net, by name."""


def image_net(name: str, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """Build a classifier of images by name, with weights drawn from torch's global generator.

    The net takes images (n, channels, rows, columns) and returns logits (n, n_classes). Sizes are chosen for
    28 and 32 pixels and training on a CPU. Smaller images are pooled less often; convolutional nets need at
    least 4 pixels. `init_weights` states the distribution of the initial weights. Every layer is a module
    that is called once and does not change its input, so that hooks see all inputs and outputs.

    Args:
        name: one of `IMAGE_NETS`.
        shape: (channels, rows, columns) of an image.
        n_classes: number of logits.
        width: factor of all hidden numbers of channels and units.

    Raises:
        ValueError: an unknown name (the message suggests the nearest one), or sizes out of range.

    Example:
        >>> image_net("vgg_bn", (1, 28, 28))(torch.randn(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    if name not in _NETS:
        raise ValueError(f"image net: unknown {name!r}; {did_you_mean(name, IMAGE_NETS)}")
    return _NETS[name].build(shape, n_classes, width=width)
