"""Image data sets by name."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from symnets.data.images.cifar import FOLDER, read_cifar, read_cifar_archive
from symnets.data.images.digits import digits
from symnets.data.images.download import cache, download
from symnets.data.images.idx import read_idx
from symnets.data.images.images import Images
from symnets.data.images.published import CIFAR10, CIFAR10_FILES, CLASSES, IDX, Published

NAMES = ("digits", *CLASSES)


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
    if name not in NAMES:
        near = difflib.get_close_matches(name.lower(), NAMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"images: unknown data set {name!r}{hint} Known: {', '.join(NAMES)}")
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
        found[0].white,
    )


def given_folder(name: str) -> Path | None:
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
    return Images(pixels[:, None], classes.long(), CLASSES[name], name)


def _idx_file(name: str, published: Published) -> Path:
    folder = given_folder(name)
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
    given = given_folder("cifar10")
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
    return Images(pixels, labels, CLASSES["cifar10"], "cifar10")
