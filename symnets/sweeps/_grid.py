"""Grids of configurations: all combinations of values of fields; grids with some of their axes replaced."""

import itertools
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from symnets.config import check_keys
from symnets.names import did_you_mean

C = TypeVar("C")


def grid(cls: type[C], **axes: Any) -> tuple[C, ...]:
    """Configurations for all combinations of values; the last axis varies fastest.

    Args:
        cls: a dataclass of scalars.
        axes: for a field, a list, tuple, range or array of values, or one value for all configurations.

    Raises:
        ValueError: `cls` has no such field (the message has the nearest one), an axis has no values or one
        value
            twice, or `cls` refuses a value.

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
            raise ValueError(f"grid: {cls.__name__} has no field {name!r}; {did_you_mean(name, names)}")
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


NONE = ("None", "none", "null")


def override(configs: Sequence[C], settings: Sequence[str]) -> tuple[C, ...]:
    """A grid with fields replaced by all combinations of the given values, without duplicates.

    This is what `symnets sweep NAME --set width=8,10` does.

    Args:
        configs: a grid of configurations of one class.
        settings: "field=value,value,..." for each field; values are checked against the type of the field.

    Raises:
        ValueError: a setting has another form or an unknown field (the message has the nearest one), a field
        is set
            twice, or a value occurs twice, has the wrong type or is out of the field's range.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     width: int
        ...     seed: int = 0
        >>> override([Config(3, 0), Config(3, 1), Config(4, 0)], ["width=8,10"])
        ... # doctest: +NORMALIZE_WHITESPACE
        (Config(width=8, seed=0), Config(width=10, seed=0), Config(width=8, seed=1), Config(width=10, seed=1))
    """
    if not configs or not settings:
        return tuple(configs)
    cls, axes = type(configs[0]), {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        if not equals:
            raise ValueError(f"--set: expected field=value or field=value,value,..., got {setting!r}")
        check_keys(cls, {name: None}, "--set")
        if name in axes:
            raise ValueError(f"--set: {name} is set twice; give all its values at once, with commas")
        axes[name] = [_value(name, get_type_hints(cls)[name], text) for text in values.split(",")]
    replaced = (grid(cls, **(vars(config) | axes)) for config in configs)
    return tuple(dict.fromkeys(config for several in replaced for config in several))


def _value(name: str, hint: Any, text: str) -> Any:
    """A value of a field's type from text."""
    adapter = TypeAdapter(hint)
    try:
        if text in NONE:
            return adapter.validate_python(None)
    except ValidationError:
        pass  # the field cannot be None, but may be a text such as "none"
    try:
        return adapter.validate_strings(text)
    except ValidationError as error:
        raise ValueError(f"--set: {name}: {error.errors()[0]['msg']}, got {text!r}") from error
