"""The binary layout of CIFAR-10."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from symnets.data.images.gzipped import opened

FOLDER = "cifar-10-batches-bin"
RECORD = 1 + 3 * 32 * 32
LARGEST = 200 * 2**20  # bytes; the official archive holds 184 million


def read_cifar(files: Sequence[Path]) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    """Images and labels of files in the binary layout, one after the other.

    A record is a byte with the label and 3072 bytes of pixels: the red plane, then green, then blue, each
    row by row ([Krizhevsky 2009](https://www.cs.toronto.edu/~kriz/cifar.html)).

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file is empty, too long, or no whole number of records.
    """
    contents = []
    for path in files:
        with path.open("rb") as file:
            contents.append((str(path), file.read(LARGEST + 1)))
    return _decode(contents)


def read_cifar_archive(
    path: Path, names: Sequence[str]
) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    """Images and labels of the official archive `cifar-10-binary.tar.gz`.

    The members are read in memory, never unpacked onto the disk, and no more is decompressed than the
    official archive holds.

    Args:
        path: of the archive.
        names: of the files in its folder `cifar-10-batches-bin`, such as "test_batch.bin".

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such an archive, damaged, far larger than it should be, or with members that
            lie outside of its folder.
    """
    with opened(path) as file:
        whole = file.read(LARGEST + 1)
    if len(whole) > LARGEST:
        raise ValueError(f"{path}: decompresses to more than {LARGEST} bytes; the official archive does not")
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
                    raise ValueError(f"{path}: holds no file {FOLDER}/{name}; it has {sorted(members)[:20]}")
                # Bounded: a sparse member may claim any size.
                contents.append((f"{path}, {name}", stream.read(LARGEST + 1)))
    except tarfile.TarError as error:
        raise ValueError(f"{path}: not a whole tar archive: {error}") from error
    return _decode(contents)


def _check_inside(path: Path, name: str) -> None:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(
            f"{path}: the member {name!r} points outside of the archive, which cannot be official"
        )


def _decode(
    contents: Sequence[tuple[str, bytes]],
) -> tuple[UInt8[Tensor, "images 3 32 32"], Int64[Tensor, "images"]]:
    for where, content in contents:
        if not content or len(content) % RECORD or len(content) > LARGEST:
            raise ValueError(
                f"{where}: expected records of {RECORD} bytes, a label and 32 x 32 pixels in three colours; "
                f"got {len(content)} bytes, {len(content) / RECORD:g} records"
            )
    records = np.concatenate([np.frombuffer(content, np.uint8) for _, content in contents])
    records = torch.from_numpy(records.reshape(-1, RECORD))
    return records[:, 1:].reshape(-1, 3, 32, 32).clone(), records[:, 0].long()
