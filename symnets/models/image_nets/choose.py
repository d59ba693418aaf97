"""Image nets by name."""

import difflib
from collections.abc import Sequence
from functools import partial

from torch import nn

from symnets.models.image_nets.alexnet import AlexNet
from symnets.models.image_nets.efficientnet import EfficientNet
from symnets.models.image_nets.fully_connected import FullyConnected
from symnets.models.image_nets.lenet import LeNet
from symnets.models.image_nets.resnet import ResNet
from symnets.models.image_nets.vgg import VGG

IMAGE_NETS = {
    "fc2": "fully connected, 2 hidden layers",
    "fc4": "fully connected, 4 hidden layers",
    "lenet": "LeNet: 2 convolutions 5x5 with pooling, 3 linear layers",
    "alexnet": "AlexNet for small images: 5 convolutions, 3 linear layers",
    "vgg": "VGG-11 made narrower: 8 convolutions 3x3, average over pixels",
    "vgg_bn": "the same with batch normalisation",
    "resnet": "ResNet-18 made narrower: 8 residual blocks with batch normalisation",
    "efficientnet": "EfficientNet-B0 made shorter and narrower: 7 inverted residuals",
}
"""Names of image nets, and what each is."""

_CLASSES = {
    "fc2": partial(FullyConnected, depth=2),
    "fc4": partial(FullyConnected, depth=4),
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg": partial(VGG, batch_norm=False),
    "vgg_bn": partial(VGG, batch_norm=True),
    "resnet": ResNet,
    "efficientnet": EfficientNet,
}


def image_net(name: str, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> nn.Module:
    """A net that sorts images into classes, with weights drawn from torch's global generator.

    It takes images (n, channels, rows, columns) and returns logits (n, n_classes). The nets are made
    for 28 and 32 pixels and a CPU; small images are pooled less often, and 4 pixels are the fewest that
    convolutional nets take. Weights start as N(0, 2 / fan-in), those of the readout as N(0, 1 / fan-in),
    biases as 0. Every layer is a module that is called once and leaves its input as it is, so that
    hooks can look at it.

    Args:
        name: one of `IMAGE_NETS`.
        shape: (channels, rows, columns) of an image.
        n_classes: number of logits.
        width: factor of all hidden numbers of channels and units.

    Raises:
        ValueError: an unknown name, with the nearest; sizes that make no sense.

    Example:
        >>> image_net("vgg_bn", (1, 28, 28))(torch.randn(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    if name not in _CLASSES:
        near = difflib.get_close_matches(str(name).lower(), IMAGE_NETS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"image net: unknown {name!r}; did you mean {near!r}? Known: {', '.join(IMAGE_NETS)}"
        )
    return _CLASSES[name](shape, n_classes, width=width)
