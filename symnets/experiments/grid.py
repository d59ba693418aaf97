"""Grids: all combinations of some values of a configuration's fields."""

import difflib
import itertools
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

C = TypeVar("C")


def grid(cls: type[C], **axes: Any) -> tuple[C, ...]:
    """Configurations for all combinations of values; the last axis named runs fastest.

    Args:
        cls: a dataclass of scalars.
        axes: by name of a field, a list, tuple, range or array of values, or one value for all.

    Raises:
        ValueError: a field that `cls` does not have (the nearest is named), an axis without values or
            with a value twice, or a value that `cls` refuses.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     width: int
        ...     seed: int = 0
        >>> len(grid(Config, width=(8, 10), seed=range(3)))
        6
    """
    names = [field.name for field in fields(cls)]  # pyright: ignore[reportArgumentType]
    for name in axes:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise ValueError(f"grid: {cls.__name__} has no field {name!r}; did you mean {near[0]!r}?")
    values = [_values(name, axis) for name, axis in axes.items()]
    return tuple(cls(**dict(zip(axes, chosen, strict=True))) for chosen in itertools.product(*values))


def _values(name: str, axis: Any) -> list[Any]:
    if isinstance(axis, np.ndarray):
        values = axis.ravel().tolist()
    elif isinstance(axis, list | tuple | range):
        values = [value.item() if isinstance(value, np.generic) else value for value in axis]
    else:
        return [axis.item() if isinstance(axis, np.generic) else axis]
    if not values:
        raise ValueError(f"grid: {name} has no values; give at least one")
    if len(set(values)) < len(values):
        raise ValueError(f"grid: {name} has a value twice: {values}")
    return values
