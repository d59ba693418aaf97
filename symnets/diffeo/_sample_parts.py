"""Parts of a training sample: which of them are images, masks, boxes or key points; PIL images as tensors."""

import copy
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

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
    "mask": "mask",
    "masks": "mask",
    "boxes": "boxes",
    "keypoints": "keypoints",
}
"""Keys of a dict that determine the kind of plain tensors."""


@dataclass(frozen=True)
class Part:
    """A leaf of a sample.

    Attributes:
        kind: image, mask, ...; "tensor" for a plain tensor whose kind depends on the rest of the sample.
        value: the tensor or object.
        explicit: whether the kind follows from the class, a key or a declaration, not from the position.
    """

    kind: Kind
    value: Any
    explicit: bool = True


def sample_parts(sample: Any, masks: Collection[str | int] = ()) -> list[Part]:
    """All leaves of nested tuples, lists and dicts, in order, with their kinds.

    The kind of a leaf is determined by `masks`, then by its class (a PIL image, a torchvision tensor), then
    by the key of its dict (`BY_KEY`, also for lists under that key). Of the remaining plain tensors, the
    first is the image if there is no other image; the rest is "other", as in torchvision.

    Args:
        sample: one item of a data set.
        masks: parts that are masks whatever their class: keys of dicts at any depth, and positions in the
            outermost tuple or list, counted from the end if negative.

    Raises:
        ValueError: an object other than a tensor or PIL image under one of the keys, or a position of a mask
            that the sample does not have.
    """
    positions = {_position(sample, position) for position in masks if isinstance(position, int)}
    if isinstance(sample, list | tuple):
        parts = [p for k, value in enumerate(sample) for p in _leaves(value, None, k in positions, masks)]
    else:
        parts = list(_leaves(sample, None, False, masks))
    if not any(part.kind in ("image", "video") for part in parts):
        first = next((index for index, part in enumerate(parts) if part.kind == "tensor"), None)
        if first is not None:
            parts[first] = replace(parts[first], kind="image")
    return [replace(part, kind="other") if part.kind == "tensor" else part for part in parts]


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


def _leaves(sample: Any, key: str | None, declared: bool, masks: Collection[str | int]) -> Iterator[Part]:
    if isinstance(sample, dict):
        for name, value in sample.items():
            yield from _leaves(value, name if isinstance(name, str) else None, name in masks, masks)
    elif isinstance(sample, list | tuple):
        for value in sample:
            yield from _leaves(value, key, declared, masks)
    else:
        kind, explicit = _kind(sample, key, declared)
        yield Part(kind, sample, explicit)


def _map(sample: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(sample, dict):
        # A copy keeps the attributes of subclasses, such as the factory of a defaultdict.
        new = copy.copy(sample)
        for name, value in sample.items():
            new[name] = _map(value, function)
        return new
    if isinstance(sample, list | tuple):
        values = [_map(value, function) for value in sample]
        return type(sample)(*values) if hasattr(sample, "_fields") else type(sample)(values)
    return function(sample)


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
    if named in ("mask", "boxes", "keypoints") and value is not None:
        raise ValueError(
            f"{key or 'masks'}: expected a tensor, got {type(value).__name__}; use torch.as_tensor"
        )
    return "other", named is not None


def is_pil(value: Any) -> bool:
    """Whether an object is a PIL image, without importing PIL."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def size_and_number(parts: Sequence[Part]) -> tuple[tuple[int, int], int]:
    """(rows, columns) of the images of a sample, and the number of images in its batch.

    Raises:
        ValueError: no image, images of different sizes or numbers, or an image tensor of another shape.
    """
    sizes, numbers = set(), set()
    for kind, value in ((part.kind, part.value) for part in parts):
        if is_pil(value):
            sizes.add(value.size[::-1])
            numbers.add(1)
        elif kind in ("image", "video"):
            axes = 3 if kind == "image" else 4
            if value.ndim not in (axes, axes + 1):
                expected = (
                    "(channels, rows, columns)" if kind == "image" else "(frames, channels, rows, columns)"
                )
                raise ValueError(
                    f"{kind}: expected shape {expected}, or a batch, got {tuple(value.shape)}. If this "
                    'is not the image, put the image first, or name it: {"image": ...}'
                )
            sizes.add(tuple(value.shape[-2:]))
            numbers.add(len(value) if value.ndim == axes + 1 else 1)
        elif kind == "mask":
            sizes.add(tuple(value.shape[-2:]))
        elif hasattr(value, "canvas_size"):
            sizes.add(tuple(value.canvas_size))
    if len(sizes) != 1 or len(numbers) > 1:
        raise ValueError(
            "sample: expected images of one size and equal batch sizes, got sizes (rows, columns) "
            f"{sorted(sizes)} and batch sizes {sorted(numbers)}"
        )
    return sizes.pop(), max(numbers, default=1)


GREY = ("L", "I", "I;16")
"""Modes of PIL images whose values may be brightness or class indices."""


def undeclared_masks(parts: Sequence[Part]) -> list[str]:
    """Descriptions of parts that may be masks but are not treated as masks.

    These are plain tensors and arrays of the size of the image, which are returned unchanged, and grey PIL
    images beside another image, which are interpolated.
    """
    images = [part for part in parts if part.kind in ("image", "video")]
    if not images:
        return []
    size = _size(images[0].value)
    grey = [part for part in images if not part.explicit and is_pil(part.value) and part.value.mode in GREY]
    if len(grey) == len(images):
        grey = grey[1:]  # the image itself
    candidates = [f'a PIL image of mode "{part.value.mode}", interpolated' for part in grey]
    for part in parts:
        if part.kind == "other" and not part.explicit and _size(part.value) == size:
            shape = tuple(part.value.shape)
            candidates.append(f"{type(part.value).__name__} of shape {shape}, returned unchanged")
    return candidates


def _size(value: object) -> tuple[int, ...]:
    """(rows, columns) of an image or array; () if it has none."""
    if is_pil(value):
        return value.size[::-1]  # pyright: ignore[reportAttributeAccessIssue]
    shape = tuple(getattr(value, "shape", ()))
    return shape[-2:] if len(shape) >= 2 else ()


INDEXED = ("1", "P")
"""Modes whose values are bits or palette indices, which must not be interpolated."""


def from_pil(image: Any) -> Shaped[Tensor, "channels rows columns"]:
    """The values of a PIL image, in their own dtype."""
    values = np.array(image)
    return torch.from_numpy(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0).copy())


def to_pil(values: Shaped[Tensor, "channels rows columns"], like: Any) -> Any:
    """A PIL image with new values, and the mode, palette and metadata of another image of the same size."""
    rows = np.ascontiguousarray(np.moveaxis(values.numpy(), 0, -1))
    data = np.packbits(rows[..., 0], axis=1) if like.mode == "1" else rows
    image = like.copy()
    image.frombytes(data.tobytes())
    return image
