"""Image data sets: readers, downloads with checksums, and the digits that need none."""

from symnets.data.images.cifar import read_cifar, read_cifar_archive
from symnets.data.images.idx import read_idx
from symnets.data.images.images import Images
from symnets.data.images.load import load_images

__all__ = ["Images", "load_images", "read_cifar", "read_cifar_archive", "read_idx"]
