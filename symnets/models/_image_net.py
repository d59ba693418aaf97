"""Image nets by name."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from torch import nn

from symnets.models._alexnet import AlexNet
from symnets.models._efficientnet import EfficientNet
from symnets.models._fully_connected import FullyConnected
from symnets.models._lenet import LeNet
from symnets.models._resnet import ResNet
from symnets.models._vgg import VGG
from symnets.names import did_you_mean


class _Named(NamedTuple):
    build: Callable[..., nn.Module]
    text: str


_NETS = {
    "fc2": _Named(partial(FullyConnected, depth=2), "fully connected, 2 hidden layers"),
    "fc4": _Named(partial(FullyConnected, depth=4), "fully connected, 4 hidden layers"),
    "lenet": _Named(LeNet, "LeNet: 2 convolutions 5x5 with pooling, 3 linear layers"),
    "alexnet": _Named(AlexNet, "AlexNet for small images: 5 convolutions, 3 linear layers"),
    "vgg": _Named(
        partial(VGG, batch_norm=False), "VGG-11 made narrower: 8 convolutions 3x3, average over pixels"
    ),
    "vgg_bn": _Named(partial(VGG, batch_norm=True), "the same with batch normalisation"),
    "resnet": _Named(ResNet, "ResNet-18 made narrower: 8 residual blocks with batch normalisation"),
    "efficientnet": _Named(EfficientNet, "EfficientNet-B0 made shorter and narrower: 7 inverted residuals"),
}
IMAGE_NETS = {name: net.text for name, net in _NETS.items()}
"""Names of image nets, and what each is."""


def image_net(name: str, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """A net that classifies images, with weights drawn from torch's global generator.

    It takes images (n, channels, rows, columns) and returns logits (n, n_classes). The nets are made
    for 28 and 32 pixels and a CPU; small images are pooled less often, and 4 pixels are the fewest that
    convolutional nets take. Weights start as N(0, 2 / fan-in), those of the readout as N(0, 1 / fan-in),
    biases as 0. Every layer is a module that is called once and does not change its input, so that
    hooks see inputs and outputs.

    Args:
        name: one of `IMAGE_NETS`.
        shape: (channels, rows, columns) of an image.
        n_classes: number of logits.
        width: factor of all hidden numbers of channels and units.

    Raises:
        ValueError: an unknown name (the nearest is named), or sizes out of range.

    Example:
        >>> image_net("vgg_bn", (1, 28, 28))(torch.randn(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    if name not in _NETS:
        raise ValueError(f"image net: unknown {name!r}; {did_you_mean(name, IMAGE_NETS)}")
    return _NETS[name].build(shape, n_classes, width=width)
