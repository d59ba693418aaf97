"""Image nets by name.

Save and load image nets as one checked file of weights and their description.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from symnets.data import read_header
from symnets.models._alexnet import AlexNet
from symnets.models._efficientnet import EfficientNet
from symnets.models._fully_connected import FullyConnected
from symnets.models._lenet import LeNet
from symnets.models._model_file import by_name, read_model, write_model
from symnets.models._resnet import ResNet
from symnets.models._vgg import VGG
from symnets.names import did_you_mean

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
        raise ValueError(f"image net: unknown {name!r}; {did_you_mean(name, IMAGE_NETS)}")
    return _CLASSES[name](shape, n_classes, width=width)


KIND = "image net"

_FILE_CLASSES = by_name((AlexNet, EfficientNet, FullyConnected, LeNet, ResNet, VGG))


def save_image_net(model: nn.Module, path: str | Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write an image net, running averages and all, to one file, atomically.

    Args:
        model: as `image_net` makes them.
        path: such as "vgg.safetensors".
        extra: more to keep in the header: anything JSON can hold, such as the data set and how its
            pixels were normalised.

    Raises:
        ValueError: the model is none of symnets' image nets.
    """
    write_model(path, KIND, model, _FILE_CLASSES, extra)


def load_image_net(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> nn.Module:
    """Read an image net, in eval mode.

    Args:
        path: a file written by `save_image_net`.
        device: where to put it.
        dtype: of weights and arithmetic; by default as it was saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, altered, or no image net.
    """
    return read_model(path, KIND, _FILE_CLASSES).to(device=device, dtype=dtype).eval()


def describe_image_net(path: str | Path) -> dict[str, Any]:
    """Header of an image net's file: recipe, dtype, versions, extra."""
    return read_header(path, KIND)
