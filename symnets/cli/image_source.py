"""Images of a command: a data set by name, a folder of pictures, or an array of NumPy."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data.images import load_images
from symnets.data.images.array import check_layout, read_image_array
from symnets.data.images.folder import image_files, read_image_files
from symnets.data.images.load import NAMES
from symnets.experiments.classifier.images import Normalisation


def find_images(
    source: str, n: int, *, size: int | None, channels: int | None, seed: int
) -> Float[Tensor, "n channels rows columns"]:
    """At most n images, chosen at random and without repetition, float32.

    Whole numbers become 0 (black) to 1 (white); floating numbers of an array stay as they are.

    Args:
        source: "digits", "mnist", "fashion-mnist" or "cifar10" (their test images), a folder of PNG and
            JPEG files, or a .npy or .npz file.
        n: how many.
        size: rows and columns of images of a folder; see `read_image_files`.
        channels: of images of a folder.
        seed: of the choice.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: an unknown name, damaged files, or another layout.
    """
    path = Path(source)
    if source in NAMES:
        images = load_images(source, "test")
        return images[torch.from_numpy(_chosen(len(images), n, seed))].scaled()
    if path.is_dir():
        files = image_files(path)
        chosen = [files[index] for index in _chosen(len(files), n, seed)]
        return read_image_files(chosen, size=size, channels=channels).to(torch.float32) / 255
    if path.suffix in (".npy", ".npz"):
        array = read_image_array(path)
        some = torch.from_numpy(np.array(array[_chosen(len(array), n, seed)]).astype(np.float32))
        return some / np.iinfo(array.dtype).max if array.dtype.kind == "u" else some
    near = difflib.get_close_matches(source, NAMES, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise FileNotFoundError(
        f"data: {source} is neither a data set ({', '.join(NAMES)}), nor a folder, nor a .npy or .npz file; "
        f"{hint}Names of data sets are sought in SYMNETS_DATA"
    )


def check_shape(images: Tensor, expected: Sequence[int] | None, model: str) -> None:
    """Passes images of the shape (channels, rows, columns) that a model says it takes.

    Raises:
        ValueError: another layout or another size.
    """
    check_layout(tuple(images.shape), "images")
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
    header: dict[str, list[float]] | None,
) -> Normalisation | None:
    """What is done to pixels before a model sees them; None for nothing.

    Args:
        images: before it.
        mean: subtracted, one number or one a channel; 0 if only `std` is given.
        std: divided by; 1 if only `mean` is given.
        own: take means and standard deviations of these images.
        header: what the model's file says.

    Raises:
        ValueError: numbers for another number of channels, or std that is not positive; both ways at once.
    """
    n = images.shape[1]
    if own and (mean is not None or std is not None):
        raise ValueError("--normalise takes the mean and deviation of the images; leave out --mean and --std")
    if own:
        mean, std = images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).tolist()
    elif mean is None and std is None:
        if not header or "mean" not in header or "deviation" not in header:
            return None
        mean, std = header["mean"], header["deviation"]
    found = {"mean": tuple(mean or (0.0,)), "std": tuple(std or (1.0,))}
    for name, values in found.items():
        if len(values) not in (1, n) or not np.isfinite(values).all():
            raise ValueError(f"--{name}: expected 1 number, or {n}, one a channel, got {list(values)}")
    if min(found["std"]) <= 0:
        raise ValueError(f"--std: expected numbers above 0, got {list(found['std'])}; are all pixels equal?")
    return Normalisation(*(values * (n if len(values) == 1 else 1) for values in found.values()))


def _chosen(available: int, n: int, seed: int) -> np.ndarray:
    """Indices of at most n, in order: files and arrays are read from front to back."""
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])
