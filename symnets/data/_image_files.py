"""Images from NumPy files and from PNG and JPEG files."""

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
"""Largest number of bytes of an array that is read from a compressed file."""
ARRAY_NAMES = ("images", "x", "x_test")
"""Names under which the array of images is searched for in a file of several arrays."""
_CHANNELS = (1, 3, 4)


def read_image_array(path: Path) -> ndarray:
    """Images (n, channels, rows, columns) of a .npy or .npz file; reading never executes code.

    A .npy file is memory-mapped: only the rows that are used are read.

    Args:
        path: the file; an .npz file contains one array, or one named "images", "x" or "x_test".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a damaged file, an array of objects, a dtype other than unsigned integers and floats, or
            another shape; the message says which axes to move.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        array = (
            _in_archive(path) if path.suffix == ".npz" else np.load(path, mmap_mode="r", allow_pickle=False)
        )
    except ValueError as error:
        raise ValueError(f"{path}: not a readable NumPy array: {error}") from error
    except Exception as error:  # NumPy reads headers as Python, with the errors of Python's parser
        raise ValueError(f"{path}: not a complete NumPy file: {error}") from error
    if not isinstance(array, ndarray) or array.dtype.kind not in "fu":
        kind = getattr(array, "dtype", type(array).__name__)
        hint = "; if they are 0 to 255, save array.astype(numpy.uint8)" if str(kind).startswith("int") else ""
        raise ValueError(f"{path}: expected unsigned integers or floats, got {kind}{hint}")
    check_image_shape(array.shape, str(path))
    return array


def check_image_shape(shape: tuple[int, ...], where: str) -> None:
    """Check that a shape is (n, channels, rows, columns).

    Raises:
        ValueError: there are not four axes, an axis is empty, or the channels seem to be the last axis.
    """
    message = f"{where}: expected shape (n, channels, rows, columns), got {tuple(shape)}"
    if len(shape) == 3:
        raise ValueError(f"{message}; if there are no channels, save array[:, None]")
    if len(shape) != 4:
        raise ValueError(message)
    if shape[3] in _CHANNELS and shape[1] not in _CHANNELS:
        raise ValueError(f"{message}; the channels come last: save numpy.moveaxis(array, -1, 1)")
    if 0 in shape:
        raise ValueError(f"{message}; the array is empty")


def _in_archive(path: Path) -> Any:
    # Opened here, because np.load leaves a damaged file open.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("not a zip archive")
        names = file.files
        chosen = names if len(names) == 1 else [name for name in ARRAY_NAMES if name in names]
        if not chosen:
            raise ValueError(
                f"expected one array, or one named {', '.join(ARRAY_NAMES)}; got {', '.join(names)}"
            )
        _check_size(file, chosen[0])
        return file[chosen[0]]


def _check_size(file: Any, name: str) -> None:
    """Check the size in the header of an array before its memory is allocated."""
    archive: zipfile.ZipFile = file.zip
    member = name if name in archive.namelist() else f"{name}.npy"
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
    size = int(np.prod(np.array(shape, dtype=object))) * dtype.itemsize
    if size > LARGEST:
        raise ValueError(f"the array {name} has {size:,} bytes, more than the {LARGEST:,} allowed")


ENDINGS = (".png", ".jpg", ".jpeg")
LARGEST_PICTURE = 64 * 10**6
"""Largest number of pixels of a file that is decoded; a larger file is an error."""
LARGEST_BATCH = 2**32
"""Largest number of bytes of all images together."""
_DEEP = ("I", "F")  # first letters of Pillow's modes with more than 8 bits, which it would clip


def image_files(folder: Path) -> list[Path]:
    """Sorted paths of the PNG and JPEG files in a folder and its subfolders; hidden ones are left out.

    Raises:
        FileNotFoundError: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)  # ._NAME.jpg of macOS
    )
    if not paths:
        raise FileNotFoundError(f"{folder}: expected files ending in {', '.join(ENDINGS)}, found none")
    return paths


def read_image_files(
    paths: Sequence[Path], *, size: int | None = None, channels: int | None = None
) -> UInt8[Tensor, "images channels rows columns"]:
    """Decode image files to one tensor, rotated by their EXIF orientation, without transparency.

    A file of more than `LARGEST_PICTURE` pixels is an error.

    Args:
        paths: PNG or JPEG files with 8 bits per channel.
        size: number of rows and of columns: the largest central square of each image is resized to it. None
            keeps the size, which must be the same for all images.
        channels: 3 for colours, 1 for grey; by default grey if all files are grey.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no paths; a file that is damaged, truncated, too large or of another format; images of
            several sizes without `size`.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels: expected 1 (grey) or 3 (colours), got {channels}")
    if size is not None and size < 1:
        raise ValueError(f"size: expected at least 1 pixel, got {size}")
    if not paths:
        raise ValueError("paths: expected at least one, got none")
    if size is not None and 3 * size**2 * len(paths) > LARGEST_BATCH:
        raise ValueError(
            f"{len(paths)} images of {size} x {size} pixels do not fit; use fewer or smaller images"
        )
    arrays: list[np.ndarray] = []
    bytes_left = LARGEST_BATCH
    for path in paths:
        array = _read(path, size, channels)
        if size is None and arrays and array.shape[:2] != arrays[0].shape[:2]:
            raise ValueError(
                f"{path}: {_sides(array)} pixels, but {paths[0].name} has {_sides(arrays[0])}; "
                "pass a size to resize all images to"
            )
        bytes_left -= array.nbytes
        if bytes_left < 0:
            raise ValueError(
                f"{path.parent}: more than {LARGEST_BATCH} bytes of pixels; use fewer or smaller ones"
            )
        arrays.append(array)
    if any(array.ndim == 3 for array in arrays):  # colour images, perhaps grey ones among them
        arrays = [array if array.ndim == 3 else array[..., None].repeat(3, axis=2) for array in arrays]
        return torch.from_numpy(np.stack(arrays)).movedim(-1, 1).contiguous()
    return torch.from_numpy(np.stack(arrays))[:, None]


def _sides(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]}"


def _read(path: Path, size: int | None, channels: int | None) -> np.ndarray:
    """Pixels of a file: (rows, columns) if grey, (rows, columns, 3) if not."""
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
            upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
            if size is not None:
                upright = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
            return np.array(upright)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path}: larger than {LARGEST_PICTURE:,} pixels ({error}); not decoded") from error
    # Errors that Pillow's decoders raise for damaged files.
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
        raise ValueError(f"{path}: not a complete PNG or JPEG file of 8 bits a channel: {error}") from error
