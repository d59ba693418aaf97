"""Images with the number of their class.

scikit-learn's handwritten digits, which need no download.

Image data sets by name.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from symnets.data._image_formats import FOLDER, read_cifar, read_cifar_archive, read_idx
from symnets.data._published_images import (
    CIFAR10,
    CIFAR10_FILES,
    IDX,
    IMAGE_CLASSES,
    Published,
    cache,
    download,
)
from symnets.names import did_you_mean, nearest


@dataclass(frozen=True)
class Images:
    """Labelled images of one shape.

    Raises:
        ValueError: as many labels as images are expected, and each the number of a class.
    """

    pixels: UInt8[Tensor, "images channels rows columns"]
    labels: Int64[Tensor, "images"]
    classes: tuple[str, ...]
    """Names, in the order of their numbers."""
    name: str
    """Of the data set."""
    max_value: int = 255
    """The largest value of a pixel."""

    def __post_init__(self) -> None:
        if len(self.pixels) != len(self.labels):
            raise ValueError(f"{self.name}: got {len(self.pixels)} images and {len(self.labels)} labels")
        wrong = (self.labels < 0) | (self.labels >= len(self.classes))
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise ValueError(
                f"{self.name}: label {int(self.labels[row])} of image {row} is no class; "
                f"expected 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: slice | Tensor) -> "Images":
        """Some of the images: a slice, a tensor of indices, or a mask."""
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def scaled(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "images channels rows columns"]:
        """Pixels from 0 (black) to 1 (max_value)."""
        return self.pixels.to(dtype) / self.max_value

    def flat(self) -> UInt8[Tensor, "images features"]:
        """Pixels as they are, an image a row."""
        return self.pixels.flatten(1)

    def class_number(self, name: int | str) -> int:
        """The number of a class given by number or name.

        Raises:
            ValueError: there is no such class; the message gives the nearest names.
        """
        if isinstance(name, int) and 0 <= name < len(self.classes):
            return name
        if name in self.classes:
            return self.classes.index(str(name))
        raise ValueError(
            f"{self.name}: no class {name!r}; expected a number below {len(self.classes)}, "
            f"or a name such as {', '.join(nearest(name, self.classes, n=3))}"
        )


N_TEST = 500


def digits() -> tuple[Images, Images]:
    """1,297 images to train on and 500 to test on: 8 x 8 pixels of value 0 to 16.

    scikit-learn's [`load_digits`][1], the test part of a data set by Alpaydin and Kaynak (1998), has no
    split. Here the test images are 50 of each digit, drawn once with a fixed seed, all in random order.

    [1]: https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
    """
    # Here, for it takes a second that nobody else should wait for.
    from sklearn.datasets import load_digits

    pixels, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    pixels = torch.from_numpy(pixels[order].astype(np.uint8).reshape(-1, 1, 8, 8))
    labels = torch.from_numpy(target[order].astype(np.int64))
    everything = Images(pixels, labels, tuple("0123456789"), "digits", max_value=16)
    # The how-manieth of its class each image is.
    rank = torch.nn.functional.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0]
    test = rank <= N_TEST // 10
    return everything[~test], everything[test]


IMAGE_DATASETS = ("digits", *IMAGE_CLASSES)


def load_images(name: str = "digits", split: Literal["train", "test", "all"] = "train") -> Images:
    """Images of "digits", "mnist", "fashion-mnist" or "cifar10".

    `"digits"` (scikit-learn's, 8 x 8) is built in. The others are sought in the folder SYMNETS_DATA/name,
    and if there is no such folder, downloaded once into the user's cache and compared with their sha256.
    Files in SYMNETS_DATA are taken as they are, once their structure is right: they need not be the
    published ones. Nothing in the cache is taken without its sha256.

    Args:
        name: of the data set.
        split: its parts as published; "all" is the training part followed by the test part.

    Raises:
        ValueError: an unknown name; a file that is damaged; a download with the wrong checksum.
        FileNotFoundError: the folder in SYMNETS_DATA lacks files; the message says which.
        OSError: a download failed.
    """
    if name not in IMAGE_DATASETS:
        raise ValueError(f"images: unknown data set {name!r}; {did_you_mean(name, IMAGE_DATASETS)}")
    if split not in ("train", "test", "all"):
        raise ValueError(f'split: expected "train", "test" or "all", got {split!r}')
    parts = ("train", "test") if split == "all" else (split,)
    if name == "digits":
        train, test = digits()
        found = [{"train": train, "test": test}[part] for part in parts]
    elif name == "cifar10":
        found = [_cifar(CIFAR10_FILES[part]) for part in parts]
    else:
        found = [_idx(name, part) for part in parts]
    if len(found) == 1:
        return found[0]
    return Images(
        torch.cat([part.pixels for part in found]),
        torch.cat([part.labels for part in found]),
        found[0].classes,
        name,
        found[0].max_value,
    )


def local_folder(name: str) -> Path | None:
    """The folder of a data set in SYMNETS_DATA, if there is one."""
    root = os.environ.get("SYMNETS_DATA")
    folder = Path(root) / name if root else None
    return folder if folder is not None and folder.is_dir() else None


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
        "or remove the folder to have the data downloaded"
    )


def _cifar(files: Sequence[str]) -> Images:
    given = local_folder("cifar10")
    if given is None:
        return _cifar_images(*read_cifar_archive(download(CIFAR10, cache() / "cifar10"), files))
    for folder in (given, given / FOLDER):
        if all((folder / file).is_file() for file in files):
            return _cifar_images(*read_cifar([folder / file for file in files]))
    archive = given / CIFAR10.file
    if archive.is_file():
        return _cifar_images(*read_cifar_archive(archive, files))
    script = given / "to_binary.py"
    make = f"{script} makes them: python {script} {given}" if script.is_file() else "put them there"
    raise FileNotFoundError(
        f"cifar10: {', '.join(files)} not found in {given}, nor in its folder {FOLDER}; no archive "
        f"{CIFAR10.file} there either. {make}"
    )


def _cifar_images(pixels: torch.Tensor, labels: torch.Tensor) -> Images:
    return Images(pixels, labels, IMAGE_CLASSES["cifar10"], "cifar10")
