"""Configurations: dataclasses, read from YAML files and checked against their types.

Ranges that the values of a configuration must lie in.
"""

import hashlib
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from symnets.files import whole_file
from symnets.names import did_you_mean

C = TypeVar("C")


def read_config(cls: type[C], path: str | Path) -> C:
    """A configuration from a YAML file.

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
    """A configuration from nested dicts, checked as `read_config` checks files."""
    check_keys(cls, values, where)
    try:
        # Lax only where JSON and YAML are: a list for a tuple, an int for a float, never "3" for 3.
        return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise ValueError(f"{where}: " + "; ".join(_problems(error))) from error


def _problems(error: ValidationError) -> list[str]:
    """What is wrong, field by field; values out of range tell it themselves."""
    found = error.errors()
    if told := [str(e["ctx"]["error"]) for e in found if e["type"] == "value_error" and "ctx" in e]:
        return list(dict.fromkeys(told))  # once, though each architecture said it
    return [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}, got {e['input']!r}" for e in found]


def check_keys(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Refuse keys that are no field of a dataclass, here and in the dataclasses within."""
    hints = get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            raise ValueError(f"{where}: unknown key {key!r}; {did_you_mean(key, hints)}")
        inner = [c for c in _alternatives(hints[key]) if is_dataclass(c)]
        if isinstance(value, Mapping) and inner:
            check_keys(_chosen(inner, value, f"{where}: {key}"), value, f"{where}: {key}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _chosen(classes: list[Any], values: Mapping[str, Any], where: str) -> type:
    """Of several dataclasses the one whose tag, their first field, has the given value."""
    if len(classes) == 1:
        return classes[0]
    tag = fields(classes[0])[0].name
    tags = {fields(c)[0].default: c for c in classes}
    value = values.get(tag, next(iter(tags)))
    if value not in tags:
        raise ValueError(f"{where}: unknown {tag} {value!r}; {did_you_mean(value, tags)}")
    return tags[value]


def write_config(config: Any, path: str | Path) -> None:
    """Write a configuration as YAML that `read_config` reads back equal."""
    with whole_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(config))), sort_keys=False))


def fingerprint(values: Mapping[str, Any]) -> str:
    """Hash of a configuration's values: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


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
