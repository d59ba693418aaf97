"""Image files written for tests."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, *, n_train: int, n_test: int, seed: int = 0) -> None:
    """Write random images of ten classes in MNIST's format and file names."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for part, n in (("train", n_train), ("t10k", n_test)):
        images = idx_bytes(rng.integers(0, 256, (n, 28, 28)))
        labels = idx_bytes(np.arange(n) % 10)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def cifar_bytes(n: int, seed: int = 0) -> bytes:
    """Records in CIFAR-10's format with labels 0, 1, 2, ... and random pixels."""
    records = np.random.default_rng(seed).integers(0, 256, (n, 3073))
    records[:, 0] = np.arange(n) % 10
    return records.astype(np.uint8).tobytes()
