"""IDX, the file format of MNIST and of data sets made after it."""

import math
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from symnets.data.images.gzipped import opened

LARGEST = 2**30  # bytes; MNIST's 60,000 images are 47 million


def read_idx(path: Path, ndim: int) -> UInt8[Tensor, "..."]:
    """The array of bytes in an IDX file, compressed by gzip or not.

    The file begins with two zero bytes, the kind of number (8: unsigned byte, the only one read here) and
    the number of dimensions; then come the dimensions as big-endian 32-bit numbers, then the values, the
    last index running fastest ([LeCun, Cortes, Burges](http://yann.lecun.com/exdb/mnist/)). No more is
    decompressed than the header promises, so that a hostile file fills neither memory nor time.

    Args:
        path: of the file.
        ndim: dimensions that are expected: 3 for images, 1 for labels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, number or dimension; shorter or longer than the header says.
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
            raise ValueError(f"{path}: the file ends within its header; fetch it again")
        shape = struct.unpack(f">{ndim}I", sizes)
        promised = math.prod(shape)
        if promised > LARGEST:
            raise ValueError(f"{path}: the header promises {shape}, more than the {LARGEST} bytes allowed")
        values = file.read(promised + 1)
    if len(values) != promised:
        found = f"only {len(values)}" if len(values) < promised else "more"
        raise ValueError(
            f"{path}: the header promises {shape}, {promised} bytes, but there are {found}; fetch it again"
        )
    return torch.from_numpy(np.frombuffer(values, np.uint8).reshape(shape).copy())
