"""The door of `stability`: images, field and temperature, checked before any work is done."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from symnets.observables.pixels import check_pixels


class Field(Protocol):
    """An ensemble of deformations, such as `symnets.diffeo.SineField`.

    `sample(n, temperature=..., generator=...)`, or `delta=` in place of `temperature=`, returns an object
    whose `warp(images)` deforms n images, each by a deformation of its own.
    """

    @property
    def sample(self) -> Callable[..., Any]:
        """Draws n deformations."""
        ...


def check_images(images: Any, field: Field) -> None:
    """Passes images (n, channels, *field.shape) of finite floating numbers.

    Raises:
        TypeError: not a tensor of floating numbers.
        ValueError: no image, another layout, or NaN or infinite pixels.
    """
    check_pixels(images)
    shape = tuple(images.shape)
    grid = getattr(field, "shape", None)
    _check_layout(shape, shape[2:] if grid is None else tuple(grid))


def check_strength(temperature: float | None, delta: float | None) -> dict[str, float]:
    """The one of the two that was given, as an argument for `sample`."""
    given = {
        name: value for name, value in [("temperature", temperature), ("delta", delta)] if value is not None
    }
    if len(given) != 1:
        raise ValueError(
            "temperature, delta: expected one of them, got "
            + ("both" if given else "neither; delta=1.0 is a displacement of one pixel")
        )
    ((name, value),) = given.items()
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite number >= 0, got {value}")
    return {name: float(value)}


def _check_layout(shape: Sequence[int], grid: Sequence[int]) -> None:
    grid = tuple(grid)
    if len(shape) == 2 + len(grid) >= 4 and tuple(shape[2:]) == grid:
        return
    axes = ", ".join(map(str, grid)) or "rows, columns"
    message = f"images: expected shape (n, channels, {axes}) as the field has, got {tuple(shape)}"
    if len(shape) == 2 + len(grid) and tuple(shape[1:-1]) == grid:
        raise ValueError(f"{message}: the channels come last; take images.movedim(-1, 1)")
    if len(shape) == 1 + len(grid) and tuple(shape[1:]) == grid:
        raise ValueError(f"{message}: there are no channels; take images[:, None]")
    if len(shape) == 2 and math.prod(grid) > 0 and shape[1] % math.prod(grid) == 0:
        raise ValueError(
            f"{message}: images are flattened; take images.reshape(len(images), -1, rows, columns)"
        )
    raise ValueError(f"{message}; make the field with shape=images.shape[2:]")
