"""Labelled images, and image data sets by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from symnets.data._image_formats import FOLDER, read_cifar, read_cifar_archive, read_idx
from symnets.data._published_images import CIFAR10, CIFAR10_FILES, IDX, IMAGE_CLASSES
from symnets.downloads import Published, cache, download, local_folder
from symnets.names import did_you_mean, nearest


@dataclass(frozen=True)
class Images:
    """Labelled images of one shape.

    Raises:
        ValueError: different numbers of images and labels, or a label that is not the number of a class.
    """

    pixels: UInt8[Tensor, "images channels rows columns"]
    """Values from 0 (black) to `max_value` (white)."""
    labels: Int64[Tensor, "images"]
    """Number of the class of each image."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""
    name: str
    """Name of the data set."""
    max_value: int = 255
    """Value of a white pixel."""

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{self.name}: got {len(self.pixels)} images and {len(self.labels)} labels")
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"{self.name}: label {int(self.labels[row])} of image {row} is not a class; "
                f"expected 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "Images":
        """Images of a slice, of a tensor of indices, or of a mask."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def scaled(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "images channels rows columns"]:
        """Pixels from 0 (black) to 1 (max_value)."""
        return self.pixels.to(dtype) / self.max_value

    def flat(self) -> UInt8[Tensor, "images features"]:
        """Unscaled pixels, one row for each image."""
        return self.pixels.flatten(1)

    def class_number(self, name: int | str) -> int:
        """Number of a class given by number or name.

        Raises:
            ValueError: an unknown class; the message gives the nearest names.
        """
        if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(self.classes):
            return name
        if name in self.classes:
            return self.classes.index(str(name))
        raise ValueError(
            f"{self.name}: no class {name!r}; expected a number below {len(self.classes)}, "
            f"or a name such as {', '.join(nearest(name, self.classes, n=3))}"
        )


N_TEST = 500
"""Number of test images of "digits"."""


def digits() -> tuple[Images, Images]:
    """scikit-learn's handwritten digits: 1,297 training and 500 test images, 8 x 8 pixels of value 0 to 16.

    [`load_digits`][1], the test part of a data set by Alpaydin and Kaynak (1998), is not divided into
    training and test images. Here the test images are 50 of each digit, sampled with a fixed seed, in random
    order.

    [1]: https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
    """
    # Imported here, because it takes a second.
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    pixels = torch.from_numpy(pixels[order].astype(np.uint8).reshape(-1, 1, 8, 8))
    labels = torch.from_numpy(target[order].astype(np.int64))
    everything = Images(pixels, labels, tuple("0123456789"), "digits", max_value=16)
    # Rank of each image within its class, from 1.
    rank = torch.nn.functional.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    test = rank <= N_TEST // 10
    return everything[~test], everything[test]


IMAGE_DATASETS = ("digits", *IMAGE_CLASSES)
"""Names of the data sets that `load_images` knows."""


def load_images(name: str = "digits", split: Literal["train", "test", "all"] = "train") -> Images:
    """Load the images of "digits", "mnist", "fashion-mnist" or "cifar10".

    `"digits"` (scikit-learn's, 8 x 8) needs no download. The others are read from the folder
    SYMNETS_DATA/name, if it exists; otherwise they are downloaded once into the user's cache. The sha256 of
    downloaded and cached files is checked. Files in SYMNETS_DATA need not be the published ones; only their
    format is checked.

    Args:
        name: name of the data set.
        split: published part; "all" is the training part followed by the test part.

    Raises:
        ValueError: an unknown name, a damaged file, or a download with the wrong checksum.
        FileNotFoundError: files are missing in the folder SYMNETS_DATA/name; the message lists them.
        OSError: a download failed.
    """
    if name not in IMAGE_DATASETS:
        raise ValueError(f"images: unknown data set {name!r}; {did_you_mean(name, IMAGE_DATASETS)}")
    if split not in ("train", "test", "all"):
        raise ValueError(f'split: expected "train", "test" or "all", got {split!r}')
    parts = ("train", "test") if split == "all" else (split,)
    if name == "digits":
        train, test = digits()
        loaded = [{"train": train, "test": test}[part] for part in parts]
    elif name == "cifar10":
        loaded = [_cifar(CIFAR10_FILES[part]) for part in parts]
    else:
        loaded = [_idx(name, part) for part in parts]
    if len(loaded) == 1:
        return loaded[0]
    return Images(
        torch.cat([part.pixels for part in loaded]),
        torch.cat([part.labels for part in loaded]),
        loaded[0].classes,
        name,
        loaded[0].max_value,
    )


def _idx(name: str, part: str) -> Images:
    images, labels = (_idx_file(name, published) for published in IDX[name][part])
    pixels = read_idx(images, 3)
    if pixels.shape[1:] != (28, 28):
        raise ValueError(f"{images}: expected images of 28 x 28 pixels, got shape {tuple(pixels.shape)}")
    classes = read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise ValueError(f"{images} has {len(pixels)} images, but {labels} has {len(classes)} labels")
    return Images(pixels[:, None], classes.long(), IMAGE_CLASSES[name], name)


def _idx_file(name: str, published: Published) -> Path:
    folder = local_folder(name)
    if folder is None:
        return download(published, cache() / name)
    places = [folder / published.file, folder / published.file.removesuffix(".gz")]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"{name}: found neither {places[0].name} nor {places[1].name} in {folder}; put one there, "
        "or remove the folder to download the data"
    )


def _cifar(files: Sequence[str]) -> Images:
    local = local_folder("cifar10")
    if local is None:
        return _cifar_images(*read_cifar_archive(download(CIFAR10, cache() / "cifar10"), files))
    for folder in (local, local / FOLDER):
        if all((folder / file).is_file() for file in files):
            return _cifar_images(*read_cifar([folder / file for file in files]))
    archive = local / CIFAR10.file
    if archive.is_file():
        return _cifar_images(*read_cifar_archive(archive, files))
    script = local / "to_binary.py"
    hint = f"create them by python {script} {local}" if script.is_file() else "put them there"
    raise FileNotFoundError(
        f"cifar10: {', '.join(files)} not found in {local}, nor in its folder {FOLDER}, and there is no "
        f"archive {CIFAR10.file}; {hint}"
    )


def _cifar_images(pixels: torch.Tensor, labels: torch.Tensor) -> Images:
    return Images(pixels, labels, IMAGE_CLASSES["cifar10"], "cifar10")
