"""The network of a command: a model file, or what an import path makes.

Images of a command: a data set by name, a folder of pictures, or an array of NumPy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import (
    IMAGE_DATASETS,
    check_image_shape,
    image_files,
    load_images,
    read_image_array,
    read_image_files,
)
from symnets.models import ForceField, describe, import_model, load, load_weights, named_by
from symnets.names import did_you_mean
from symnets.setups import Normalisation


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
    """A network by the file that `symnets.models.save` wrote, or by `package.module:callable`.

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
    net: Any = load(path)
    if isinstance(net, ForceField):
        raise ValueError(f"{path}: expected an image net, got a force field")
    header = describe(path).get("extra")
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


def find_images(
    source: str,
    n: int,
    *,
    size: int | None,
    channels: int | None,
    taken: Sequence[int] | None,
    seed: int,
) -> Float[Tensor, "n channels rows columns"]:
    """At most n images, chosen at random and without repetition, float32.

    Unsigned whole numbers become 0 (black) to 1 (white); floating numbers of an array stay as they are.

    Args:
        source: "digits", "mnist", "fashion-mnist" or "cifar10" (their test images), a folder of PNG and
            JPEG files, or a .npy or .npz file.
        n: how many.
        size: rows and columns of images of a folder; see `read_image_files`.
        channels: of images of a folder.
        taken: (channels, rows, columns) that the model takes, to which images of a folder are brought unless
            `size` and `channels` say otherwise.
        seed: of the choice.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: damaged files, another layout, or a size for what is no folder.
    """
    path = Path(source)
    if (size is not None or channels is not None) and (
        source in IMAGE_DATASETS or path.suffix in (".npy", ".npz")
    ):
        raise ValueError(
            f"--size and --channels are for a folder of pictures; images of {source} are taken as they are"
        )
    if source in IMAGE_DATASETS:
        images = load_images(source, "test")
        return images[torch.from_numpy(_chosen(len(images), n, seed))].scaled()
    if path.is_dir():
        if taken is not None:
            size = taken[1] if size is None and taken[1] == taken[2] else size
            channels = taken[0] if channels is None and taken[0] in (1, 3) else channels
        files = image_files(path)
        chosen = [files[index] for index in _chosen(len(files), n, seed)]
        return read_image_files(chosen, size=size, channels=channels).to(torch.float32) / 255
    if path.suffix in (".npy", ".npz"):
        array = read_image_array(path)
        some = torch.from_numpy(np.array(array[_chosen(len(array), n, seed)]).astype(np.float32))
        return some / np.iinfo(array.dtype).max if array.dtype.kind == "u" else some
    raise FileNotFoundError(
        f"data: {source} is neither a data set, nor a folder, nor a .npy or .npz file; "
        f"{did_you_mean(source, IMAGE_DATASETS)}. Data sets are read from the folder SYMNETS_DATA"
    )


def check_shape(images: Tensor, expected: Sequence[int] | None, model: str) -> None:
    """Passes images of the shape (channels, rows, columns) that a model says it takes.

    Raises:
        ValueError: another layout or another size.
    """
    check_image_shape(tuple(images.shape), "images")
    if expected is not None and tuple(images.shape[1:]) != tuple(expected):
        raise ValueError(
            f"images: {model} takes (channels, rows, columns) = {tuple(expected)}, got "
            f"{tuple(images.shape[1:])}; give other --data, or --size and --channels of a folder"
        )


def normalisation(
    images: Tensor,
    *,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    own: bool,
    header: Mapping[str, Any],
) -> Normalisation | None:
    """What is done to pixels before a model sees them; None for nothing.

    Args:
        images: before it.
        mean: subtracted, one number or one a channel; 0 if only `std` is given.
        std: divided by; 1 if only `mean` is given.
        own: take means and standard deviations of these images.
        header: what the model's file says; its entries mean and deviation are of any type.

    Raises:
        ValueError: numbers for another number of channels, or std that is not positive; both ways at once.
    """
    n = images.shape[1]
    if own and (mean is not None or std is not None):
        raise ValueError("--normalise takes the mean and deviation of the images; leave out --mean and --std")
    if own:
        mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).tolist()
    elif mean is None and std is None:
        if "mean" not in header and "deviation" not in header:
            return None
        mean, std = header.get("mean"), header.get("deviation")
    found = {
        "mean": _numbers("mean", (0.0,) if mean is None else mean, n),
        "std": _numbers("std", (1.0,) if std is None else std, n),
    }
    if min(found["std"]) <= 0:
        raise ValueError(f"--std: expected numbers above 0, got {list(found['std'])}; are all pixels equal?")
    return Normalisation(*(values * (n if len(values) == 1 else 1) for values in found.values()))


def _numbers(name: str, values: Any, n: int) -> tuple[float, ...]:
    """One finite number, or n."""
    if isinstance(values, list | tuple) and len(values) in (1, n):
        # A file may hold anything; comparisons are also right for NaN and for integers of any length.
        numbers = [float(v) for v in values if isinstance(v, int | float) and abs(v) < 1e30]
        if len(numbers) == len(values):
            return tuple(numbers)
    raise ValueError(f"--{name}: expected 1 number, or {n}, one a channel, got {values!r:.80}")


def _chosen(available: int, n: int, seed: int) -> np.ndarray:
    """Indices of at most n, in order: files and arrays are read from front to back."""
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])
