"""Undeclared masks: parts of a sample that may be masks, where nothing says what they are."""

from collections.abc import Sequence

from symnets.diffeo.sample_parts import Part, is_pil

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
