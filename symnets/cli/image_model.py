"""The network of a command: a model file, or what an import path makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from symnets.models import describe_image_net, load_image_net
from symnets.models.import_path import import_model, load_weights, named_by


@dataclass(frozen=True)
class ImageModel:
    """A network that sees images.

    Attributes:
        name: short, for titles and folders.
        net: with the weights to be measured.
        shape: (channels, rows, columns) it takes; None if it does not say.
        header: what its file says besides: data set, mean and deviation of pixels.
        fresh: makes the same network with initial weights of a seed, or raises ValueError; None if the
            initial weights cannot be known.
    """

    name: str
    net: nn.Module
    shape: Sequence[int] | None
    header: dict[str, Any]
    fresh: Callable[[int], nn.Module] | None


def find_model(source: str, weights: Path | None, *, seed: int) -> ImageModel:
    """A network by the file that `save_image_net` wrote, or by `package.module:callable`.

    Args:
        source: the one or the other.
        weights: file with the state dict of what the callable makes.
        seed: of initial weights that the callable draws.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, or an import path that makes no network.
    """
    path = Path(source)
    if path.is_file():
        return _from_file(path, weights)
    if ":" not in source:
        raise FileNotFoundError(
            f"model: {source} is no file, and no import path package.module:callable either"
        )
    net = import_model(source, seed=seed)
    if weights is None:
        return ImageModel(_short(source), net, None, {}, None)
    load_weights(net, weights)

    def fresh(seed: int) -> nn.Module:
        made = import_model(source, seed=seed)
        if {id(tensor) for tensor in made.parameters()} & {id(tensor) for tensor in net.parameters()}:
            raise ValueError(
                f"--baseline initial: {source} returns the same weights at each call, which hold those of "
                f"{weights} now; name a callable that makes a network anew"
            )
        return made

    # A network itself may have been trained wherever its module got it from.
    anew = not isinstance(named_by(source), nn.Module)
    return ImageModel(f"{_short(source)}-{weights.stem}", net, None, {}, fresh if anew else None)


def _from_file(path: Path, weights: Path | None) -> ImageModel:
    if path.suffix in (".pt", ".pth", ".bin"):
        raise ValueError(
            f"{path}: weights do not tell the network; name it with --model package.module:callable, and "
            "give this file as --weights"
        )
    if weights is not None:
        raise ValueError(f"--weights: {path} holds its own; they are for --model package.module:callable")
    net: Any = load_image_net(path)
    header = describe_image_net(path).get("extra")
    if not isinstance(header, dict):
        raise ValueError(f"{path}: expected names and values as extra, got {type(header).__name__}")

    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # that of the CPU alone
            return type(net)(**net.config)

    return ImageModel(path.stem, net, net.shape, header, fresh)


def _short(source: str) -> str:
    """What stands behind the colon: "resnet18" of "torchvision.models:resnet18"."""
    return source.rpartition(":")[2]
