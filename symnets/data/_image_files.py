"""Images in NumPy's files.

Folders of PNG and JPEG files as a batch of images.
"""

import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageOps
from torch import Tensor

LARGEST = 2**32
"""Bytes of the largest array that is read from a compressed file."""
NAMES = ("images", "x", "x_test")
"""What the array of images is called in a file of several."""
_CHANNELS = (1, 3, 4)


def read_image_array(path: Path) -> ndarray:
    """Images (n, channels, rows, columns) of a .npy or .npz file; never runs code.

    A .npy file is mapped, not read: take the rows that are needed.

    Args:
        path: of the file; an .npz file has one array, or one called "images", "x" or "x_test".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, an array of objects, no numbers, or another layout; the message tells
            which axes to move.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        array = (
            _in_archive(path) if path.suffix == ".npz" else np.load(path, mmap_mode="r", allow_pickle=False)
        )
    except (OSError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise ValueError(f"{path}: not a whole file of NumPy: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: not an array that can be read: {error}") from error
    if not isinstance(array, ndarray) or array.dtype.kind not in "fu":
        kind = getattr(array, "dtype", type(array).__name__)
        hint = "; if they are 0 to 255, save array.astype(numpy.uint8)" if str(kind).startswith("int") else ""
        raise ValueError(f"{path}: expected unsigned or floating numbers, got {kind}{hint}")
    check_image_shape(array.shape, str(path))
    return array


def check_image_shape(shape: tuple[int, ...], where: str) -> None:
    """Passes (n, channels, rows, columns).

    Raises:
        ValueError: another layout, as far as it can be told from the sizes.
    """
    message = f"{where}: expected shape (n, channels, rows, columns), got {tuple(shape)}"
    if len(shape) == 3:
        raise ValueError(f"{message}; if there are no channels, save array[:, None]")
    if len(shape) != 4:
        raise ValueError(message)
    if shape[3] in _CHANNELS and shape[1] not in _CHANNELS:
        raise ValueError(f"{message}; the channels come last: save numpy.moveaxis(array, -1, 1)")
    if 0 in shape:
        raise ValueError(f"{message}; there is nothing in it")


def _in_archive(path: Path) -> Any:
    # Opened here: np.load would leave a damaged file open.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is no zip archive")
        names = file.files
        chosen = names if len(names) == 1 else [name for name in NAMES if name in names]
        if not chosen:
            raise ValueError(
                f"expected one array, or one of {', '.join(NAMES)}; there are {', '.join(names)}"
            )
        _check_size(file, chosen[0])
        return file[chosen[0]]


def _check_size(file: Any, name: str) -> None:
    """Compares what the header of the array promises with the limit, before memory is given to it."""
    archive: zipfile.ZipFile = file.zip
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stream)
    size = int(np.prod(np.array(shape, dtype=object))) * dtype.itemsize
    if size > LARGEST:
        raise ValueError(f"the array {name} holds {size:,} bytes, more than the {LARGEST:,} allowed")


ENDINGS = (".png", ".jpg", ".jpeg")
LARGEST_PICTURE = 64 * 10**6
"""Pixels of the largest file that is decoded."""
LARGEST_BATCH = 2**32
"""Bytes of all images together."""
_DEEP = ("I", "F")  # beginnings of modes with more than 8 bits, which Pillow would cut off


def image_files(folder: Path) -> list[Path]:
    """PNG and JPEG files in a folder and its subfolders, sorted.

    Raises:
        FileNotFoundError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise FileNotFoundError(f"{folder}: expected files ending in {', '.join(ENDINGS)}, found none")
    return found


def read_image_files(
    paths: Sequence[Path], *, size: int | None = None, channels: int | None = None
) -> UInt8[Tensor, "images channels rows columns"]:
    """Decoded image files, turned as their EXIF entry says, without transparency.

    Nothing larger than `LARGEST_PICTURE` pixels is decoded, whatever a file's header promises.

    Args:
        paths: PNG or JPEG files of 8 bits a channel.
        size: rows and columns: the largest square in the middle, resized; None if all are of one size.
        channels: 3 for colours, 1 for grey; by default grey if all files are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is damaged, cut short, too large or of another format; images of several
            sizes without `size`.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels: expected 1 (grey) or 3 (colours), got {channels}")
    if size is not None and size < 1:
        raise ValueError(f"size: expected at least 1 pixel, got {size}")
    if size is not None and 3 * size**2 * len(paths) > LARGEST_BATCH:
        raise ValueError(f"{len(paths)} images of {size} x {size} pixels do not fit; take fewer, or smaller")
    arrays: list[np.ndarray] = []
    room = LARGEST_BATCH
    for path in paths:
        array = _read(path, size, channels)
        if size is None and arrays and array.shape[:2] != arrays[0].shape[:2]:
            raise ValueError(
                f"{path}: {_sides(array)} pixels, but {paths[0].name} has {_sides(arrays[0])}; "
                "give one size to bring all to"
            )
        room -= array.nbytes
        if room < 0:
            raise ValueError(
                f"{path.parent}: more than {LARGEST_BATCH} bytes of pixels; take fewer, or smaller"
            )
        arrays.append(array)
    if any(array.ndim == 3 for array in arrays):  # colours, and grey files among them
        arrays = [array if array.ndim == 3 else array[..., None].repeat(3, axis=2) for array in arrays]
        return torch.from_numpy(np.stack(arrays)).movedim(-1, 1).contiguous()
    return torch.from_numpy(np.stack(arrays))[:, None]


def _sides(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]}"


def _read(path: Path, size: int | None, channels: int | None) -> np.ndarray:
    """Pixels (rows, columns) of a grey file, (rows, columns, 3) of another."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings(), Image.open(path, formats=("PNG", "JPEG")) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.width * image.height > LARGEST_PICTURE:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            if image.mode.startswith(_DEEP):
                raise ValueError(f"expected 8 bits a channel, got mode {image.mode!r}")
            image.load()
            grey = image.mode in ("1", "L", "LA") if channels is None else channels == 1
            turned = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
            if size is not None:
                turned = ImageOps.fit(turned, (size, size), Image.Resampling.BICUBIC)
            return np.array(turned)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path}: larger than {LARGEST_PICTURE:,} pixels ({error}); not decoded") from error
    # What Pillow's decoders raise for bytes that are no image.
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        zlib.error,
        TypeError,
        IndexError,
    ) as error:
        raise ValueError(f"{path}: not a whole PNG or JPEG file of 8 bits a channel: {error}") from error
