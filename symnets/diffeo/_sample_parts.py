"""Parts of a training sample: which of them are images, masks, boxes or key points, and which are neither."""

import copy
import enum
import os
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from numbers import Number
from types import NoneType
from typing import Any, Literal

import numpy as np
from torch import Tensor

from symnets.diffeo._image_layout import (
    CHANNELS,
    check_image,
    is_array,
    is_pil,
    mask_shape,
    spatial_shape,
)

Kind = Literal["image", "video", "mask", "boxes", "keypoints", "tensor", "other"]

BY_CLASS: dict[str, Kind] = {
    "Image": "image",
    "Video": "video",
    "Mask": "mask",
    "BoundingBoxes": "boxes",
    "KeyPoints": "keypoints",
}
"""Tensor classes of torchvision, recognised by name, so that torchvision is not imported."""

BY_KEY: dict[str, Kind] = {
    "image": "image",
    "images": "image",
    "video": "video",
    "mask": "mask",
    "masks": "mask",
    "boxes": "boxes",
    "keypoints": "keypoints",
}
"""Keys of a dict that determine the kind of plain tensors and arrays."""

OTHER_KEYS: dict[str, str] = {
    "bbox": '"boxes", as corners (x0, y0, x1, y1) in pixels',
    "bboxes": '"boxes", as corners (x0, y0, x1, y1) in pixels',
    "bounding_boxes": '"boxes", as corners (x0, y0, x1, y1) in pixels',
    "key_points": '"keypoints", as (x, y) in pixels',
    "landmarks": '"keypoints", as (x, y) in pixels',
}
"""Keys of other libraries, whose parts would not be deformed; the values name the key and format to use."""


@dataclass(frozen=True)
class Part:
    """One leaf of a nested training sample, with its kind.

    Attributes:
        kind: image, mask, ...; "tensor" for a plain tensor or array whose kind depends on the rest of the
            sample.
        value: the tensor or object.
        explicit: whether the kind follows from the class, a key or a declaration, and not from the position.
        where: keys and positions that lead to the leaf, such as "target.boxes".
        key: the nearest key or name of a field; None if there is none.
    """

    kind: Kind
    value: Any
    explicit: bool = True
    where: str = "sample"
    key: str | None = None


def sample_parts(sample: Any, masks: Collection[str | int] = ()) -> list[Part]:
    """All leaves of nested tuples, lists, mappings and dataclasses, in order, with their kinds.

    The kind of a leaf is determined by `masks`, then by its class (a PIL image, a torchvision tensor), then
    by the key of its mapping or the name of its field (`BY_KEY`, also for lists under that key). Plain
    tensors and arrays that may be images remain. If there is no other image, the first of them is the image;
    the rest is "other", as in torchvision.

    Args:
        sample: one item of a data set.
        masks: parts that are masks whatever their class: keys at any depth, and positions in the outermost
            tuple or list, counted from the end if negative.

    Raises:
        ValueError: an object other than a tensor, array or PIL image under one of the keys, a position of a
            mask that the sample does not have, or a part that may be an image and is not understood, while
            other parts move.
    """
    positions = {_position(sample, position) for position in masks if isinstance(position, int)}
    parts = list(_leaves(sample, None, False, masks, positions, ""))
    if not any(part.kind in ("image", "video") for part in parts):
        first = next((index for index, part in enumerate(parts) if part.kind == "tensor"), None)
        if first is not None:
            parts[first] = replace(parts[first], kind="image")
    parts = [replace(part, kind="other") if part.kind == "tensor" else part for part in parts]
    _check_understood(parts)
    return parts


def with_parts(sample: Any, values: Iterator[Any]) -> Any:
    """The sample with new leaves, in the order of `sample_parts`; containers keep their classes."""
    return _map(sample, lambda _: next(values))


def _position(sample: Any, position: int) -> int:
    n = len(sample) if isinstance(sample, list | tuple) else 0
    if not -n <= position < n:
        raise ValueError(
            f"masks: expected a tuple or list with position {position}, got {type(sample).__name__}"
            + (f" of {n}" if n else "")
        )
    return position % n


def _children(sample: Any) -> list[tuple[Any, Any]] | None:
    """Pairs of a key, name or position and a part; None for a leaf."""
    if isinstance(sample, Mapping):
        return list(sample.items())
    if isinstance(sample, tuple) and hasattr(sample, "_fields"):
        return list(zip(sample._fields, sample, strict=True))  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(sample, list | tuple):
        return list(enumerate(sample))
    if is_dataclass(sample) and not isinstance(sample, type):
        return [(f.name, getattr(sample, f.name)) for f in fields(sample) if hasattr(sample, f.name)]
    return None


def _leaves(
    sample: Any,
    key: str | None,
    declared: bool,
    masks: Collection[str | int],
    positions: Collection[int],
    where: str,
) -> Iterator[Part]:
    children = _children(sample)
    if children is None:
        kind, explicit = _kind(sample, key, declared)
        yield Part(kind, sample, explicit, where or "sample", key)
        return
    in_sequence = isinstance(sample, list | tuple)
    for index, (name, value) in enumerate(children):
        place = f"{where}.{name}" if where else str(name)
        is_key = not in_sequence or hasattr(sample, "_fields")
        own_key = name if is_key and isinstance(name, str) else key if in_sequence else None
        is_mask = (is_key and name in masks) or index in positions or (declared and in_sequence)
        yield from _leaves(value, own_key, is_mask, masks, (), place)


def _map(sample: Any, function: Callable[[Any], Any]) -> Any:
    children = _children(sample)
    if children is None:
        return function(sample)
    values = [_map(value, function) for _, value in children]
    if isinstance(sample, list | tuple):
        return type(sample)(*values) if hasattr(sample, "_fields") else type(sample)(values)
    changed = [(name, new) for (name, old), new in zip(children, values, strict=True) if new is not old]
    if not changed and not isinstance(sample, MutableMapping):
        return sample
    if not isinstance(sample, MutableMapping) and not is_dataclass(sample):
        raise ValueError(f"sample: expected a mapping that can be changed, got {type(sample).__name__}")
    new = copy.copy(sample)  # keeps the attributes of subclasses, such as the factory of a defaultdict
    for name, value in changed:
        if isinstance(new, MutableMapping):
            new[name] = value
        else:
            object.__setattr__(new, name, value)  # a dataclass may be frozen
    return new


def _kind(value: Any, key: str | None, declared: bool) -> tuple[Kind, bool]:
    """The kind of a leaf, and whether it follows from anything but its position."""
    named = "mask" if declared else BY_KEY.get(key) if key is not None else None
    if isinstance(value, Tensor):
        for ancestor in () if declared else type(value).__mro__:
            if ancestor.__name__ in BY_CLASS:
                return BY_CLASS[ancestor.__name__], True
            if ancestor.__name__ == "TVTensor":
                return "other", True
        return named or "tensor", named is not None
    if is_pil(value):
        return ("mask" if named == "mask" else "image"), named is not None
    if is_array(value) and (named or _may_be_image(value)):
        return named or "tensor", named is not None
    if named in ("mask", "boxes", "keypoints") and value is not None:
        raise ValueError(
            f"{key or 'masks'}: expected a tensor, got {_class(value)}; use torch.as_tensor or np.asarray"
        )
    return "other", named is not None


def _may_be_image(array: Any) -> bool:
    """Whether an array without a name may be an image: not a table, a few points or a vector."""
    return array.ndim in (3, 4, 5) or (array.ndim == 2 and min(array.shape) >= 8)


def _check_understood(parts: Sequence[Part]) -> None:
    """Raises ValueError for parts that should move with others but are not understood."""
    moving = [part for part in parts if part.kind != "other"]
    has_image = any(part.kind in ("image", "video") for part in moving)
    for part in parts if moving else ():
        if part.kind != "other":
            continue
        named = BY_KEY.get(part.key or "") in ("image", "video") and part.value is not None
        # The name of a file may stand beside the image itself.
        is_label = isinstance(part.value, str | bytes | os.PathLike | Number | enum.Enum)
        if (named and not (is_label and has_image)) or (not is_label and _is_foreign_image(part.value)):
            raise ValueError(
                f"{part.where}: expected a tensor, a numpy array or a PIL image, got {_class(part.value)}, "
                f"which would stay as it is while {moving[0].where} is deformed; convert it, or take it out "
                "of the sample"
            )
        if part.key in OTHER_KEYS and part.value is not None:
            raise ValueError(
                f"{part.where}: expected the key {OTHER_KEYS[part.key]}, got {part.key!r}, which would stay "
                f"as it is while {moving[0].where} is deformed; rename it, or take it out of the sample"
            )


def _is_foreign_image(value: Any) -> bool:
    """Whether an object that is neither a tensor, a numpy array nor a PIL image may hold an image."""
    if isinstance(value, np.ma.MaskedArray):
        return value.ndim >= 2
    if isinstance(value, Tensor | np.ndarray | np.generic | NoneType | type) or callable(value):
        return False
    shape = getattr(value, "shape", None)
    if hasattr(shape, "__len__"):
        return len(shape) >= 2 and not hasattr(value, "columns")  # tables have columns # pyright: ignore
    if any(hasattr(value, name) for name in ("__array_interface__", "__dlpack__")):
        return True
    if type(value).__name__.lower().endswith(("image", "mask", "video", "volume")):
        return True
    if isinstance(value, set | frozenset):
        held = list(value)
    else:
        slots = [slot for cls in type(value).__mro__ for slot in getattr(cls, "__slots__", ())]
        held = [*getattr(value, "__dict__", {}).values(), *(getattr(value, slot, None) for slot in slots)]
    return any(is_pil(part) or (isinstance(part, Tensor | np.ndarray) and part.ndim >= 2) for part in held)


def _class(value: object) -> str:
    """Name of the class of an object, with its module."""
    cls = type(value)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"


def size_and_number(parts: Sequence[Part], *, volume: bool | None) -> tuple[tuple[int, ...], int]:
    """Spatial shape of the images of a sample, and the number of images in its batch.

    Args:
        parts: all parts of the sample.
        volume: whether images are volumes; None if this is not specified.

    Raises:
        ValueError: no image, images of different sizes or numbers, or a layout that is not understood.
    """
    dim, sizes, numbers = (3 if volume else 2), dict[str, tuple[int, ...]](), dict[str, int]()
    for kind, value, where, key in ((part.kind, part.value, part.where, part.key) for part in parts):
        if kind in ("image", "video"):
            # Images of torchvision are never volumes.
            given = False if volume is None and type(value).__name__ in BY_CLASS else volume
            check_image(value, where, kind=kind, volume=given, is_batch=key == "images")
            sizes[where] = spatial_shape(value, dim)
            is_batch = not is_pil(value) and value.ndim == dim + 2 + (kind == "video")
            numbers[where] = len(value) if is_batch else 1
        elif kind in ("boxes", "keypoints") and volume:
            raise ValueError(f"{where}: {kind} of volumes are not deformed; use SineField.sample and push")
        elif kind in ("boxes", "keypoints") and hasattr(value, "canvas_size"):
            sizes[where] = tuple(value.canvas_size)
    for part in parts:
        if part.kind == "mask":
            size = next(iter(sizes.values()), spatial_shape(part.value, dim))
            sizes[part.where] = mask_shape(part.value, size)
    if not sizes:
        kinds = ", ".join(dict.fromkeys(type(part.value).__name__ for part in parts)) or "nothing"
        raise ValueError(f"sample: expected images, got {kinds}")
    if len(set(sizes.values())) > 1 or len(set(numbers.values())) > 1:
        raise ValueError(
            "sample: expected images and masks of one size, with rows and columns last in tensors, and equal "
            f"batch sizes, got sizes {sizes} and batch sizes {numbers}"
        )
    return next(iter(sizes.values())), max(numbers.values(), default=1)


GREY = ("L", "I", "I;16")
"""Modes of PIL images whose values may be brightness or class indices."""


def undeclared(parts: Sequence[Part], size: Sequence[int]) -> list[str]:
    """Descriptions of parts that may be masks or further images, but are not treated as such.

    These are plain tensors and arrays of the size of the image, which are returned unchanged, and grey PIL
    images beside another image, which are interpolated. If the image was identified by its position alone,
    other tensors and arrays with the axes of an image are included too.

    Args:
        parts: all parts of the sample.
        size: spatial shape of the image, (rows, columns) or (depth, rows, columns).
    """
    images = [part for part in parts if part.kind in ("image", "video")]
    if not images:
        return []
    grey = [part for part in images if not part.explicit and is_pil(part.value) and part.value.mode in GREY]
    if len(grey) == len(images):
        grey = grey[1:]  # the image itself
    candidates = [f'{part.where}, a PIL image of mode "{part.value.mode}", interpolated' for part in grey]
    by_position = not images[0].explicit and not is_pil(images[0].value)
    for part in parts:
        if part.kind == "other" and not part.explicit:
            shape = tuple(getattr(part.value, "shape", ()))
            if _has_size(shape, size) or (by_position and _has_channels(part.value, shape)):
                name = type(part.value).__name__
                candidates.append(f"{part.where}, {name} of shape {shape}, returned unchanged")
    return candidates


def _has_size(shape: tuple[int, ...], size: Sequence[int]) -> bool:
    """Whether a shape contains the axes of the image, with or without channels."""
    dim, size = len(size), tuple(size)
    return len(shape) >= dim and size in (shape[-dim:], shape[-1 - dim : -1])


def _has_channels(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether a tensor (channels, rows, columns), or an array (rows, columns, channels), may be an image."""
    if len(shape) < 3:
        return False
    channels, sides = (shape[-3], shape[-2:]) if isinstance(value, Tensor) else (shape[-1], shape[-3:-1])
    return channels in CHANNELS and min(sides) >= 8
