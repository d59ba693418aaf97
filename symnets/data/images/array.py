"""Images in NumPy's files."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

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
    check_layout(array.shape, str(path))
    return array


def check_layout(shape: tuple[int, ...], where: str) -> None:
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
