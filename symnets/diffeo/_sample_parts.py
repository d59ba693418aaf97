"""Parts of a training sample: what in a tuple or dict is an image, a mask, boxes, key points, or none.

Undeclared masks: parts of a sample that may be masks, where nothing says what they are.

PIL images as tensors, and back.
"""

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
"""Tensor classes of torchvision, known by name: torchvision itself is not needed."""

BY_KEY: dict[str, Kind] = {
    "image": "image",
    "images": "image",
    "mask": "mask",
    "masks": "mask",
    "boxes": "boxes",
    "keypoints": "keypoints",
}
"""Keys of a dict that tell what plain tensors are."""


@dataclass(frozen=True)
class Part:
    """A leaf of a sample.

    Attributes:
        kind: what it is; "tensor" until the sample as a whole has told.
        value: itself.
        told: whether its class, a key or a declaration says what it is, or else only its place.
    """

    kind: Kind
    value: Any
    told: bool = True


def sample_parts(sample: Any, masks: Collection[str | int] = ()) -> list[Part]:
    """All leaves of nested tuples, lists and dicts, in order.

    What a leaf is, tells `masks`, then its class (a PIL image, a tensor of torchvision's), then the key of
    the dict that it stands in (`BY_KEY`; also of lists in it). Of plain tensors that nothing tells about,
    the first is the image if there is no other image; all others are left alone, as torchvision does.

    Args:
        sample: what a data set gives.
        masks: what is a mask whatever its class: keys of dicts in any depth, and places in the outermost
            tuple or list, from the end if negative.

    Raises:
        ValueError: under a key that says what it is, there is something else than a tensor or PIL image; or
            no place in the sample is that of a mask.
    """
    places = {_place(sample, place) for place in masks if isinstance(place, int)}
    if isinstance(sample, list | tuple):
        parts = [p for k, value in enumerate(sample) for p in _leaves(value, None, k in places, masks)]
    else:
        parts = list(_leaves(sample, None, False, masks))
    if not any(part.kind in ("image", "video") for part in parts):
        first = next((index for index, part in enumerate(parts) if part.kind == "tensor"), None)
        if first is not None:
            parts[first] = replace(parts[first], kind="image")
    return [replace(part, kind="other") if part.kind == "tensor" else part for part in parts]


def with_parts(sample: Any, values: Iterator[Any]) -> Any:
    """The sample with other leaves, in the order of `sample_parts`; containers keep their classes."""
    return _map(sample, lambda _: next(values))


def _place(sample: Any, place: int) -> int:
    n = len(sample) if isinstance(sample, list | tuple) else 0
    if not -n <= place < n:
        raise ValueError(
            f"masks: expected a tuple or list with a place {place}, got {type(sample).__name__}"
            + (f" of {n}" if n else "")
        )
    return place % n


def _leaves(sample: Any, key: str | None, declared: bool, masks: Collection[str | int]) -> Iterator[Part]:
    if isinstance(sample, dict):
        for name, value in sample.items():
            yield from _leaves(value, name if isinstance(name, str) else None, name in masks, masks)
    elif isinstance(sample, list | tuple):
        for value in sample:
            yield from _leaves(value, key, declared, masks)
    else:
        kind, told = _kind(sample, key, declared)
        yield Part(kind, sample, told)


def _map(sample: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(sample, dict):
        # A copy keeps what else a subclass holds, such as the factory of a defaultdict.
        new = copy.copy(sample)
        for name, value in sample.items():
            new[name] = _map(value, function)
        return new
    if isinstance(sample, list | tuple):
        values = [_map(value, function) for value in sample]
        return type(sample)(*values) if hasattr(sample, "_fields") else type(sample)(values)
    return function(sample)


def _kind(value: Any, key: str | None, declared: bool) -> tuple[Kind, bool]:
    """What it is, and whether anything but its place in the sample says so."""
    told = "mask" if declared else BY_KEY.get(key) if key is not None else None
    if isinstance(value, Tensor):
        for ancestor in () if declared else type(value).__mro__:
            if ancestor.__name__ in BY_CLASS:
                return BY_CLASS[ancestor.__name__], True
            if ancestor.__name__ == "TVTensor":
                return "other", True
        return told or "tensor", told is not None
    if is_pil(value):
        return ("mask" if told == "mask" else "image"), told is not None
    if told in ("mask", "boxes", "keypoints") and value is not None:
        raise ValueError(
            f"{key or 'masks'}: expected a tensor, got {type(value).__name__}; torch.as_tensor makes one"
        )
    return "other", told is not None


def is_pil(value: Any) -> bool:
    """Whether it is a PIL image; PIL is not imported for that."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def size_and_number(parts: Sequence[Part]) -> tuple[tuple[int, int], int]:
    """(rows, columns) of all images of a sample, and how many there are in its batch; 1 if it is none.

    Raises:
        ValueError: there is no image, or several of different size or number, or one that is none.
    """
    sizes, numbers = set(), set()
    for kind, value in ((part.kind, part.value) for part in parts):
        if is_pil(value):
            sizes.add(value.size[::-1])
            numbers.add(1)
        elif kind in ("image", "video"):
            axes = 3 if kind == "image" else 4
            if value.ndim not in (axes, axes + 1):
                wanted = (
                    "(channels, rows, columns)" if kind == "image" else "(frames, channels, rows, columns)"
                )
                raise ValueError(
                    f"{kind}: expected shape {wanted}, or a batch of them, got {tuple(value.shape)}. If it "
                    'is no image, put the image before it, or name the image: {"image": ...}'
                )
            sizes.add(tuple(value.shape[-2:]))
            numbers.add(len(value) if value.ndim == axes + 1 else 1)
        elif kind == "mask":
            sizes.add(tuple(value.shape[-2:]))
        elif hasattr(value, "canvas_size"):
            sizes.add(tuple(value.canvas_size))
    if len(sizes) != 1 or len(numbers) > 1:
        raise ValueError(
            "expected a sample with images of one size, and as many of each, got sizes (rows, columns) "
            f"{sorted(sizes)} and numbers {sorted(numbers)}"
        )
    return sizes.pop(), max(numbers, default=1)


GREY = ("L", "I", "I;16")
"""Modes of PIL images whose values may be brightness or numbers of classes."""


def undeclared(parts: Sequence[Part]) -> list[str]:
    """Descriptions of what is treated as no mask, and may be one: plain tensors and arrays of the size of
    the image, which are left alone, and grey PIL images beside another image, which are interpolated.
    """
    images = [part for part in parts if part.kind in ("image", "video")]
    if not images:
        return []
    size = _size(images[0].value)
    grey = [part for part in images if not part.told and is_pil(part.value) and part.value.mode in GREY]
    if len(grey) == len(images):
        grey = grey[1:]  # the image itself
    found = [f'a PIL image of mode "{part.value.mode}", interpolated' for part in grey]
    for part in parts:
        if part.kind == "other" and not part.told and _size(part.value) == size:
            found.append(f"{type(part.value).__name__} of shape {tuple(part.value.shape)}, left as it is")
    return found


def _size(value: object) -> tuple[int, ...]:
    """(rows, columns) of what has them."""
    if is_pil(value):
        return value.size[::-1]  # pyright: ignore[reportAttributeAccessIssue]
    shape = tuple(getattr(value, "shape", ()))
    return shape[-2:] if len(shape) >= 2 else ()


INDEXED = ("1", "P")
"""Modes whose values are no brightness: bits, and numbers of colours. There is nothing between two."""


def from_pil(image: Any) -> Shaped[Tensor, "channels rows columns"]:
    """The values of a PIL image, in a dtype of their own."""
    values = np.array(image)
    return torch.from_numpy(values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0).copy())


def to_pil(values: Shaped[Tensor, "channels rows columns"], like: Any) -> Any:
    """A PIL image with other values, and the mode, palette and information of one of the same size."""
    rows = np.ascontiguousarray(np.moveaxis(values.numpy(), 0, -1))
    data = np.packbits(rows[..., 0], axis=1) if like.mode == "1" else rows
    image = like.copy()
    image.frombytes(data.tobytes())
    return image
