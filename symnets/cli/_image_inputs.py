"""Inputs of `symnets stability`: the network (a file or an import path), the images, their normalisation."""

import os
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
from symnets.models import ForceField, describe, import_model, import_object, load, load_weights
from symnets.names import did_you_mean
from symnets.setups import Normalisation


@dataclass(frozen=True)
class ImageModel:
    """An image network with what is known about it.

    Attributes:
        name: short name, for titles and folders.
        net: the network with the weights to measure.
        shape: (channels, rows, columns) of its images; None if unknown.
        header: further entries of the model file: data set, mean and standard deviation of pixels.
        fresh: makes the same network with initial weights from a seed, or raises ValueError; None if the
            initial weights are unknown.
    """

    name: str
    net: nn.Module
    shape: Sequence[int] | None
    header: dict[str, Any]
    fresh: Callable[[int], nn.Module] | None


def find_model(source: str, weights: Path | None, *, seed: int) -> ImageModel:
    """Loads a network from a file of `symnets.models.save`, or makes it by an import path.

    Args:
        source: path of the file, or `package.module:callable`.
        weights: file with the state dict of the network that the callable makes.
        seed: seed of the initial weights of that network.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or the import path does not make a network.
    """
    path = Path(source)
    if path.is_file():
        return _from_file(path, weights)
    if ":" not in source:
        raise FileNotFoundError(
            f"--model: expected a file or an import path package.module:callable, got {source}"
        )
    net = import_model(source, seed=seed)
    if weights is None:
        return ImageModel(_short(source), net, None, {}, None)
    load_weights(net, weights)

    def fresh(seed: int) -> nn.Module:
        initial = import_model(source, seed=seed)
        if {id(tensor) for tensor in initial.parameters()} & {id(tensor) for tensor in net.parameters()}:
            raise ValueError(
                f"--baseline initial: {source} returns the same parameters at each call, and {weights} "
                "was loaded into them; pass a callable that makes a new network"
            )
        return initial

    # The weights of a network that is not made by a call may already be trained.
    is_callable = not isinstance(import_object(source), nn.Module)
    return ImageModel(f"{_short(source)}-{weights.stem}", net, None, {}, fresh if is_callable else None)


def _from_file(path: Path, weights: Path | None) -> ImageModel:
    if path.suffix in (".pt", ".pth", ".bin"):
        raise ValueError(
            f"--model: {path} contains weights only; pass the network as --model package.module:callable and "
            "this file as --weights"
        )
    if weights is not None:
        raise ValueError(
            f"--weights: expected only with --model package.module:callable; {path} contains its own weights"
        )
    net: Any = load(path)
    if isinstance(net, ForceField):
        raise ValueError(f"{path}: expected an image net, got a force field")
    header = describe(path).get("extra")
    if not isinstance(header, dict):
        raise ValueError(f"{path}: expected a mapping as extra, got {type(header).__name__}")

    def fresh(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPU
            return type(net)(**net.config)

    return ImageModel(path.stem, net, net.shape, header, fresh)


def _short(source: str) -> str:
    """Name after the colon of an import path: "resnet18" of "torchvision.models:resnet18"."""
    return source.rpartition(":")[2]


def find_images(
    source: str,
    n: int,
    *,
    size: int | None,
    channels: int | None,
    model_shape: Sequence[int] | None,
    seed: int,
) -> Float[Tensor, "n channels rows columns"]:
    """A random subset of at most n images, float32.

    Unsigned integers are scaled to 0 (black) to 1 (white); floating-point arrays are not changed.

    Args:
        source: "digits", "mnist", "fashion-mnist" or "cifar10" (their test images), a folder of PNG and
            JPEG files, or a .npy or .npz file.
        n: number of images.
        size: rows and columns of images of a folder; see `read_image_files`.
        channels: channels of images of a folder.
        model_shape: (channels, rows, columns) of the model's images, to which images of a folder are
            converted unless `size` and `channels` are given.
        seed: seed of the random choice.

    Raises:
        FileNotFoundError: the file or folder does not exist.
        ValueError: a file is damaged or has another layout, or `size` or `channels` is given without a
            folder.
    """
    path = Path(source)
    if (size is not None or channels is not None) and (
        source in IMAGE_DATASETS or path.suffix in (".npy", ".npz")
    ):
        raise ValueError(
            f"--size, --channels: expected only with a folder of images; those of {source} are not converted"
        )
    if source in IMAGE_DATASETS:
        images = load_images(source, "test")
        return images[torch.from_numpy(_random_subset(len(images), n, seed))].scaled()
    if path.is_dir():
        if model_shape is not None:
            size = model_shape[1] if size is None and model_shape[1] == model_shape[2] else size
            channels = model_shape[0] if channels is None and model_shape[0] in (1, 3) else channels
        files = image_files(path)
        subset = [files[index] for index in _random_subset(len(files), n, seed)]
        return read_image_files(subset, size=size, channels=channels).to(torch.float32) / 255
    if path.suffix in (".npy", ".npz"):
        array = read_image_array(path)
        subset = np.array(array[_random_subset(len(array), n, seed)]).astype(np.float32)
        images = torch.from_numpy(subset)
        return images / np.iinfo(array.dtype).max if array.dtype.kind == "u" else images
    root = os.environ.get("SYMNETS_DATA")
    raise FileNotFoundError(
        f"--data: expected a data set, a folder, or a .npy or .npz file, got {source}; "
        f"{did_you_mean(source, IMAGE_DATASETS)}"
        + (f". Data sets are read from SYMNETS_DATA, {root}" if root else "")
    )


def check_shape(images: Tensor, expected: Sequence[int] | None, model: str) -> None:
    """Checks that images have the shape (channels, rows, columns) of the model.

    Raises:
        ValueError: the images have another layout or another size.
    """
    check_image_shape(tuple(images.shape), "images")
    if expected is not None and tuple(images.shape[1:]) != tuple(expected):
        raise ValueError(
            f"images: expected (channels, rows, columns) = {tuple(expected)} for {model}, got "
            f"{tuple(images.shape[1:])}; pass other --data, or --size and --channels for a folder"
        )


def normalisation(
    images: Tensor,
    *,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    own: bool,
    header: Mapping[str, Any],
) -> Normalisation | None:
    """Normalisation of pixels before they enter the model; None if there is none.

    Args:
        images: images before normalisation.
        mean: subtracted from pixels, one number or one for each channel; 0 if only `std` is given.
        std: divisor of pixels; 1 if only `mean` is given.
        own: whether to use the mean and standard deviation of these images.
        header: entries of the model file; "mean" and "deviation" may be of any type.

    Raises:
        ValueError: the numbers do not match the channels, `std` is not positive, or `own` is given together
            with `mean` or `std`.
    """
    n = images.shape[1]
    if own and (mean is not None or std is not None):
        raise ValueError("--normalise: expected without --mean and --std; it uses those of the images")
    if own:
        mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).tolist()
    elif mean is None and std is None:
        if "mean" not in header and "deviation" not in header:
            return None
        mean, std = header.get("mean"), header.get("deviation")
    values = {
        "mean": _numbers("mean", (0.0,) if mean is None else mean, n),
        "std": _numbers("std", (1.0,) if std is None else std, n),
    }
    if min(values["std"]) <= 0:
        raise ValueError(f"--std: expected numbers > 0, got {list(values['std'])}; are all pixels equal?")
    return Normalisation(*(number * (n if len(number) == 1 else 1) for number in values.values()))


def _numbers(name: str, values: Any, n: int) -> tuple[float, ...]:
    """One finite number, or n of them."""
    if isinstance(values, list | tuple) and len(values) in (1, n):
        # A file may contain anything. The comparison is False for NaN, and holds for integers of any size.
        numbers = [float(v) for v in values if isinstance(v, int | float) and abs(v) < 1e30]
        if len(numbers) == len(values):
            return tuple(numbers)
    raise ValueError(f"--{name}: expected 1 number, or {n}, one for each channel, got {values!r:.80}")


def _random_subset(available: int, n: int, seed: int) -> np.ndarray:
    """Random indices of at most n items in ascending order, since files are read from front to back."""
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])
