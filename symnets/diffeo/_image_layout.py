"""Layouts of images: numpy arrays, PIL images and volumes as tensors with the channels first."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

CHANNELS = (1, 2, 3, 4)
"""Numbers of channels of an image; an axis of another length is not assumed to be that of channels."""


def is_array(value: object) -> bool:
    """Whether an object is a numpy array of numbers or booleans, without missing values."""
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        return False
    return value.dtype.kind in "biufc" and value.dtype.char not in "gG"  # not long double


def is_pil(value: object) -> bool:
    """Whether an object is a PIL image, without importing PIL."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


INDEXED = ("1", "P")
"""Modes of PIL images whose values are bits or palette indices, which must not be interpolated."""


def check_image(value: Any, where: str, *, kind: str, volume: bool | None, is_batch: bool) -> None:
    """Checks that the layout of an image is unambiguous.

    Args:
        value: a tensor (channels, rows, columns) or an array (rows, columns[, channels]); one more axis in
            front is that of a batch, or of the frames of a video.
        where: key or position in the sample, for error messages.
        kind: "image" or "video".
        volume: whether images are volumes; None if this is not specified.
        is_batch: whether this is known to be a batch, as under the key "images".

    Raises:
        ValueError: another number of axes, channels on the wrong side, or axes that may be those of a volume.
    """
    if is_pil(value):
        if volume:
            raise ValueError(
                f"{where}: expected a volume, got a PIL image; use RandomDiffeo() without volume"
            )
        return
    tensor, dim = isinstance(value, Tensor), 3 if volume else 2
    space = "depth, rows, columns" if volume else "rows, columns"
    frames = "frames, " if kind == "video" else ""
    optional = "" if kind == "video" else "[, channels]"
    layout = f"({frames}channels, {space})" if tensor else f"({frames}{space}{optional or ', channels'})"
    axes = dim + 1 + (kind == "video")
    shape, lowest = tuple(value.shape), axes - (not tensor and kind == "image")
    if not lowest <= len(shape) <= axes + 1:
        raise ValueError(
            f"{where}: expected {'a tensor' if tensor else 'an array'} {layout}, or a batch, got shape "
            f"{shape}. "
            'If this is not the image, put the image first, or name it: {"image": ...}; a volume needs '
            "RandomDiffeo(volume=True)"
        )
    if len(shape) <= dim:  # an array without channels
        return
    first, last = shape[-1 - dim], shape[-1]
    if tensor and last in CHANNELS and first not in CHANNELS and min(shape[-1 - dim : -1]) > 4:
        raise ValueError(
            f"{where}: expected a tensor {layout}, got shape {shape} with the channels last; "
            "use x.movedim(-1, " + f"{-1 - dim}), or pass it as a numpy array"
        )
    if not tensor and last not in CHANNELS and first in CHANNELS:
        raise ValueError(
            f"{where}: expected an array {layout}, got shape {shape} with the channels first; use "
            "torch.from_numpy(x), or np.moveaxis"
        )
    channels = first if tensor else last
    if volume is not None or kind == "video":
        return
    if tensor:
        ambiguous = channels not in CHANNELS and (len(shape) == 3 or shape[0] in CHANNELS)
    else:
        ambiguous = channels not in CHANNELS or (len(shape) == 4 and not is_batch)
    if ambiguous:
        raise ValueError(
            f"{where}: shape {shape} may be a volume, a batch of images, or an image of {channels} channels. "
            f"Pass RandomDiffeo(volume=True) for volumes "
            f"{'(channels, depth, rows, columns)' if tensor else '(depth, rows, columns[, channels])'}, and "
            f"RandomDiffeo(volume=False) for images {layout} or a batch of them"
        )


def spatial_shape(value: Any, dim: int) -> tuple[int, ...]:
    """Spatial shape of an image, without channels: (rows, columns) for dim = 2."""
    if is_pil(value):
        return value.size[::-1]
    shape = tuple(value.shape)
    return shape[-1 - dim : -1] if is_array(value) and len(shape) > dim else shape[-dim:]


def mask_shape(value: Any, size: Sequence[int]) -> tuple[int, ...]:
    """Spatial shape of a mask of an image of a known size; the channels of an array are last or first."""
    if is_pil(value):
        return value.size[::-1]
    return tuple(size) if _has_channels_last(value, size) else tuple(value.shape)[-len(size) :]


def _has_channels_last(value: Any, size: Sequence[int]) -> bool:
    """Whether the last axis of an array holds channels, because the axes before it have the image's size."""
    dim, shape = len(size), tuple(value.shape)
    return is_array(value) and len(shape) > dim and shape[-1 - dim : -1] == tuple(size)


def as_tensor(value: Any, kind: str, size: Sequence[int]) -> Shaped[Tensor, "*shape"]:
    """A part of a sample as a plain tensor, with the spatial axes last if it is an image or a mask.

    Args:
        value: tensor, array or PIL image.
        kind: kind of the part, such as "image" or "boxes".
        size: spatial shape of the images.
    """
    if isinstance(value, Tensor):
        return value.as_subclass(Tensor)  # so that operators of a subclass are not used
    if is_pil(value):
        return from_pil(value)
    # A copy in native byte order, because torch takes neither negative strides, as in x[..., ::-1], nor
    # read-only memory.
    plain = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C", subok=False))
    if kind in ("boxes", "keypoints"):
        return plain
    if _has_channels_last(value, size):
        return plain.movedim(-1, -1 - len(size))
    return plain[None] if kind == "image" else plain


def restored(tensor: Tensor, original: Any, kind: str, size: Sequence[int]) -> Any:
    """A deformed tensor with the class, the layout and the metadata of the original; undoes `as_tensor`."""
    if is_pil(original):
        return _to_pil(tensor, original)
    if isinstance(original, Tensor):
        return tensor if type(original) in (Tensor, torch.nn.Parameter) else _like(tensor, original)
    if kind not in ("boxes", "keypoints"):
        if _has_channels_last(original, size):
            tensor = tensor.movedim(-1 - len(size), -1)
        elif kind == "image":
            tensor = tensor[0]
    return np.ascontiguousarray(tensor.numpy()).astype(original.dtype, copy=False)


def _like(plain: Tensor, original: Tensor) -> Tensor:
    """A tensor with the class and the attributes of another, such as format and canvas size."""
    converted = plain.as_subclass(type(original))
    vars(converted).update(vars(original))
    return converted


def from_pil(image: Any) -> Shaped[Tensor, "channels rows columns"]:
    """The values of a PIL image, in their own dtype."""
    values = np.array(image)
    return torch.from_numpy(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0).copy())


def _to_pil(values: Shaped[Tensor, "channels rows columns"], like: Any) -> Any:
    """A PIL image with new values, and the mode, palette and metadata of another image of the same size."""
    rows = np.ascontiguousarray(np.moveaxis(values.numpy(), 0, -1))
    data = np.packbits(rows[..., 0], axis=1) if like.mode == "1" else rows
    image = like.copy()
    image.frombytes(data.tobytes())
    return image
