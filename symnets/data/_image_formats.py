"""Binary file formats of image data sets: IDX (MNIST and similar) and CIFAR-10."""

import gzip
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file for reading bytes, decompressed if it begins with gzip's magic number.

    Raises:
        FileNotFoundError: no such file.
        ValueError: within the `with`, if the compressed data are damaged or truncated.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == GZIP
        raw.seek(0)
        if not compressed:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            try:
                yield file
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{path}: the gzip file is damaged or truncated: {error}") from error


FOLDER = "cifar-10-batches-bin"
RECORD = 1 + 3 * 32 * 32
LARGEST_ARCHIVE = 200 * 2**20  # bytes; the official archive has 184 million


def read_cifar(files: Sequence[Path]) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    """Images and labels of files in CIFAR-10's binary format, concatenated.

    A record is a byte with the label and 3072 bytes of pixels: the red plane, then green, then blue, each
    row by row ([Krizhevsky 2009](https://www.cs.toronto.edu/~kriz/cifar.html)).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is empty, too long, or not a whole number of records.
    """
    contents = []
    for path in files:
        with path.open("rb") as file:
            contents.append((str(path), file.read(LARGEST_ARCHIVE + 1)))
    return _decode(contents)


def read_cifar_archive(
    path: Path, names: Sequence[str]
) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    """Images and labels of CIFAR-10's official archive `cifar-10-binary.tar.gz`.

    Members are read in memory and never unpacked to disk. At most `LARGEST_ARCHIVE` bytes are decompressed.

    Args:
        path: the archive.
        names: names of files in its folder `cifar-10-batches-bin`, such as "test_batch.bin".

    Raises:
        FileNotFoundError: no such file.
        ValueError: the archive is damaged, too large or another one, or it has members outside of its folder.
    """
    with opened(path) as file:
        whole = file.read(LARGEST_ARCHIVE + 1)
    if len(whole) > LARGEST_ARCHIVE:
        raise ValueError(
            f"{path}: decompresses to more than {LARGEST_ARCHIVE} bytes; the official archive does not"
        )
    contents = []
    try:
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
            members = {member.name: member for member in archive}
            for name in members:
                _check_inside(path, name)
            for name in names:
                member = members.get(f"{FOLDER}/{name}")
                stream = archive.extractfile(member) if member is not None and member.isreg() else None
                if stream is None:
                    raise ValueError(f"{path}: contains no file {FOLDER}/{name}, but {sorted(members)[:20]}")
                # Bounded, because a sparse member may declare any size.
                contents.append((f"{path}, {name}", stream.read(LARGEST_ARCHIVE + 1)))
    except tarfile.TarError as error:
        raise ValueError(f"{path}: not a complete tar archive: {error}") from error
    return _decode(contents)


def _check_inside(path: Path, name: str) -> None:
    member = PurePosixPath(name)
    if member.is_absolute() or ".." in member.parts:
        raise ValueError(
            f"{path}: the member {name!r} points outside of the archive; this is not the official archive"
        )


def _decode(
    contents: Sequence[tuple[str, bytes]],
) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    for where, content in contents:
        if not content or len(content) % RECORD or len(content) > LARGEST_ARCHIVE:
            raise ValueError(
                f"{where}: expected records of {RECORD} bytes, a label and 32 x 32 pixels in three colours; "
                f"got {len(content)} bytes, {len(content) / RECORD:g} records"
            )
    records = np.concatenate([np.frombuffer(content, np.uint8) for _, content in contents])
    records = torch.from_numpy(records.reshape(-1, RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32).clone(), records[:, 0].long()


LARGEST_IDX = 2**30  # bytes; MNIST's 60,000 images have 47 million


def read_idx(path: Path, ndim: int) -> UInt8[Tensor, "..."]:
    """Array of unsigned bytes in an IDX file, compressed by gzip or not.

    The file begins with two zero bytes, a byte for the type of the numbers (8: unsigned byte, the only type
    accepted here) and a byte for the number of dimensions. After these come the sizes as big-endian 32-bit
    numbers, and the values, the last index running fastest
    ([LeCun, Cortes, Burges](http://yann.lecun.com/exdb/mnist/)). At most the size in the header is
    decompressed.

    Args:
        path: the file.
        ndim: expected number of dimensions: 3 for images, 1 for labels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, type or number of dimensions, or another length than the header says.
    """
    with opened(path) as file:
        magic = file.read(4)
        if magic != bytes([0, 0, 8, ndim]):
            raise ValueError(
                f"{path}: expected an IDX file of bytes in {ndim} dimensions, which begins with "
                f"{bytes([0, 0, 8, ndim]).hex(' ')}; got {magic.hex(' ') or 'an empty file'}"
            )
        sizes = file.read(4 * ndim)
        if len(sizes) < 4 * ndim:
            raise ValueError(f"{path}: the file ends within its header; download it again")
        shape = struct.unpack(f">{ndim}I", sizes)
        size = math.prod(shape)
        if size > LARGEST_IDX:
            raise ValueError(f"{path}: the header says {shape}, more than the {LARGEST_IDX} bytes allowed")
        values = file.read(size + 1)
    if len(values) != size:
        actual = f"only {len(values)}" if len(values) < size else "more"
        raise ValueError(
            f"{path}: the header says {shape}, {size} bytes, but there are {actual}; download it again"
        )
    return torch.from_numpy(np.frombuffer(values, np.uint8).reshape(shape).copy())
