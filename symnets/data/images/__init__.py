"""Image data sets: readers, downloads with checksums, and the digits that need none."""

from symnets.data.images.array import read_image_array
from symnets.data.images.cifar import read_cifar, read_cifar_archive
from symnets.data.images.folder import image_files, read_image_files
from symnets.data.images.idx import read_idx
from symnets.data.images.images import Images
from symnets.data.images.load import load_images

__all__ = [
    "Images",
    "image_files",
    "load_images",
    "read_cifar",
    "read_cifar_archive",
    "read_idx",
    "read_image_array",
    "read_image_files",
]
