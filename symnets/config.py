"""Configurations: dataclasses that are read from YAML files and checked against their types and ranges.

A range stands in the annotation of a field, and with it once:

    channels: Annotated[int, at_least(1)] = 64
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from symnets.files import whole_file
from symnets.names import did_you_mean

C = TypeVar("C")


def read_config(cls: type[C], path: str | Path) -> C:
    """Read a configuration from a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no YAML mapping, has an unknown key (the nearest valid one is
            named) or a value of the wrong type or out of its range.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such configuration file")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected `key: value` lines, got {type(values).__name__}")
    return parse_config(cls, values, where=str(path))


def parse_config(cls: type[C], values: Mapping[str, Any], *, where: str = "configuration") -> C:
    """Build a configuration from nested dicts, with the checks of `read_config`."""
    check_keys(cls, values, where)
    try:
        return validate(cls, values)
    except ValidationError as error:
        raise ValueError(f"{where}: " + "; ".join(_problems(error))) from error


def validate(cls: type[C], values: Mapping[str, Any]) -> C:
    """Build a dataclass from nested dicts with pydantic, strictly except where JSON and YAML are not:
    a list becomes a tuple and an int a float, but "3" never becomes 3.

    Raises:
        pydantic.ValidationError: a value is missing, of the wrong type or out of its range.
    """
    return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)


def _problems(error: ValidationError, prefix: tuple[str | int, ...] = ()) -> list[str]:
    """Messages of a validation error, one a field; errors of ranges already name their field."""
    out_of_range, others = [], []
    for problem in error.errors():
        cause, place = problem.get("ctx", {}).get("error"), (*prefix, *problem["loc"])
        if isinstance(cause, ValidationError):  # of a dataclass validated on its own
            others += _problems(cause, place)
        elif problem["type"] == "value_error":
            out_of_range.append(str(cause))
        else:
            others.append(f"{'.'.join(map(str, place))}: {problem['msg']}, got {problem['input']!r}")
    return out_of_range or others


def check_keys(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Refuse keys that are no field of a dataclass or of the dataclasses within it.

    A class with a class method `variant(values)` stands for the dataclass that the method returns.

    Raises:
        ValueError: an unknown key; the nearest valid one is named.
    """
    hints = get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(f"{where}: unknown key {key!r}; {did_you_mean(key, hints)}")
        inner, place = hints[key], f"{where}: {key}"
        if isinstance(value, Mapping) and (variant := getattr(inner, "variant", None)):
            try:
                inner = variant(value)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        if isinstance(value, Mapping) and is_dataclass(inner):
            check_keys(inner, value, place)  # pyright: ignore[reportArgumentType]


def write_config(config: Any, path: str | Path) -> None:
    """Write a configuration as YAML that `read_config` reads back equal."""
    with whole_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(config))), sort_keys=False))


def fingerprint(values: Mapping[str, Any]) -> str:
    """Hash of a configuration's values: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class OutOfRange(ValueError):
    """A value of a configuration is out of its range; the message names field, range and value."""


class Range(NamedTuple):
    """A condition on a number, in words and as a test."""

    expected: str
    holds: Callable[[float], bool]


def at_least(least: float) -> Range:
    """Finite, and `least` or more."""
    return Range(f"at least {least:g}", lambda value: least <= value < math.inf)


def more_than(least: float) -> Range:
    """Finite, and more than `least`."""
    return Range(f"more than {least:g}", lambda value: least < value < math.inf)


def within(least: float, most: float) -> Range:
    """From `least` to `most`, both included."""
    return Range(f"{least:g} to {most:g}", lambda value: least <= value <= most)


def between(least: float, most: float) -> Range:
    """More than `least` and less than `most`."""
    return Range(f"more than {least:g} and less than {most:g}", lambda value: least < value < most)


def annotated_ranges(annotated: Any) -> dict[str, Range]:
    """Ranges in the annotations of a class's fields or of a function's arguments, by name.

    Example:
        >>> def net(width: Annotated[int, at_least(1)], depth: int = 3): ...
        >>> annotated_ranges(net)["width"].expected
        'at least 1'
    """
    return {
        name: extra
        for name, hint in get_type_hints(annotated, include_extras=True).items()
        if get_origin(hint) is Annotated
        for extra in get_args(hint)[1:]
        if isinstance(extra, Range)
    }


def check_annotated(section: str, config: Any) -> None:
    """Check a dataclass against the ranges in its annotations; otherwise as `check_ranges`."""
    check_values(section, vars(config), annotated_ranges(type(config)))


def check_ranges(section: str, config: Any, **ranges: Range) -> None:
    """Check fields of a configuration against ranges, by name of the field.

    Args:
        section: name of the configuration within the whole, such as "optimizer"; "" for the whole.
        config: has the fields.
        ranges: by name of the field.

    Raises:
        OutOfRange: such as "optimizer.epochs: expected at least 1, got 0".
    """
    check_values(section, {name: getattr(config, name) for name in ranges}, ranges)


def check_values(section: str, values: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
    """Check values against ranges: None is always valid, and of a tuple every entry is checked."""
    for name, (expected, holds) in ranges.items():
        value = values[name]
        numbers = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(holds(number) for number in numbers):
            came = list(value) if isinstance(value, tuple) else value
            raise OutOfRange(f"{section}{'.' if section else ''}{name}: expected {expected}, got {came}")
