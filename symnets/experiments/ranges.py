"""Ranges that the values of a configuration must lie in."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple


class OutOfRange(ValueError):
    """A value of a configuration makes no sense; the message names the field, the range and the value."""


class Range(NamedTuple):
    """What a number must fulfil, in words and as a test."""

    expected: str
    holds: Callable[[float], bool]


def at_least(least: float) -> Range:
    """Finite, and `least` or more."""
    return Range(f"at least {least:g}", lambda value: least <= value < math.inf)


def more_than(least: float) -> Range:
    """Finite, and more than `least`."""
    return Range(f"more than {least:g}", lambda value: least < value < math.inf)


def within(least: float, most: float) -> Range:
    """From `least` to `most`, both allowed."""
    return Range(f"{least:g} to {most:g}", lambda value: least <= value <= most)


def between(least: float, most: float) -> Range:
    """More than `least` and less than `most`."""
    return Range(f"more than {least:g} and less than {most:g}", lambda value: least < value < most)


def check_ranges(section: str, config: Any, **ranges: Range) -> None:
    """Test fields of a configuration; None is always allowed, of a tuple every entry is tested.

    Args:
        section: name of the configuration within the whole, such as "optimizer"; "" for the whole.
        config: has the fields.
        ranges: by name of the field.

    Raises:
        OutOfRange: such as "optimizer.epochs: expected at least 1, got 0".
    """
    for name, (expected, holds) in ranges.items():
        value = getattr(config, name)
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(holds(number) for number in numbers):
            got = list(value) if isinstance(value, tuple) else value
            where = f"{section}.{name}" if section else name
            raise OutOfRange(f"{where}: expected {expected}, got {got}")
