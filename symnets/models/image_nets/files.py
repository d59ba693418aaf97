"""Save and load image nets as one checked file of weights and their description."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from symnets.data.archive import read_header
from symnets.models.image_nets.alexnet import AlexNet
from symnets.models.image_nets.efficientnet import EfficientNet
from symnets.models.image_nets.fully_connected import FullyConnected
from symnets.models.image_nets.lenet import LeNet
from symnets.models.image_nets.resnet import ResNet
from symnets.models.image_nets.vgg import VGG
from symnets.models.model_file import by_name, read_model, write_model

KIND = "image net"

_CLASSES = by_name((AlexNet, EfficientNet, FullyConnected, LeNet, ResNet, VGG))


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
    write_model(path, KIND, model, _CLASSES, extra)


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
    return read_model(path, KIND, _CLASSES).to(device=device, dtype=dtype).eval()


def describe_image_net(path: str | Path) -> dict[str, Any]:
    """Header of an image net's file: recipe, dtype, versions, extra."""
    return read_header(path, KIND)
