"""Configurations: dataclasses that are read from YAML files and checked against their types and ranges.

The range of a field is given once, in its annotation:

    channels: Annotated[int, at_least(1)] = 64
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from symnets.files import whole_file
from symnets.names import did_you_mean
from symnets.yaml_files import read_yaml, scalar, yaml_text

C = TypeVar("C")


def read_config(cls: type[C], path: str | Path) -> C:
    """Read a configuration from a YAML file, see `symnets.yaml_files.read_yaml`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a YAML mapping, has an unknown key (the message names the nearest valid
            one), or has a value of the wrong type or out of its range.
    """
    return parse_config(cls, read_yaml(path), where=str(path))


def parse_config(cls: type[C], values: Mapping[str, Any], *, where: str = "configuration") -> C:
    """Build a configuration from nested dicts, with the checks of `read_config`."""
    check_keys(cls, values, where)
    try:
        return validate(cls, values)
    except ValidationError as error:
        raise ValueError(f"{where}: " + "; ".join(_problems(error, values))) from error


def validate(cls: type[C], values: Mapping[str, Any]) -> C:
    """Build a dataclass from nested dicts with pydantic, with strict types.

    There are two exceptions, because of JSON and YAML: a list becomes a tuple, and an int becomes a float.
    The text "3" never becomes 3.

    Raises:
        pydantic.ValidationError: a value is missing, of the wrong type or out of its range.
    """
    return TypeAdapter(cls).validate_json(json.dumps(values), strict=True)


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "`key: value` lines",
    "dataclass_type": "`key: value` lines",
}
"""What pydantic expected, in words, by the type of its error."""


_BOOLEANS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}


def _problems(error: ValidationError, values: Any, prefix: tuple[str, ...] = ()) -> list[str]:
    """Messages of a validation error, one for each invalid key, which is given by its full name."""
    expected: dict[tuple[str, ...], list[str]] = {}
    found: dict[tuple[str, ...], Any] = {}
    messages = []
    for problem in error.errors():
        kind, cause = problem["type"], problem.get("ctx", {}).get("error")
        place, inner = _place(problem["loc"], values)
        place = (*prefix, *place)
        if isinstance(cause, ValidationError):  # a nested dataclass that was validated separately
            messages += _problems(cause, inner, place)
        elif kind == "missing":
            name = ".".join([*place, str(problem["loc"][-1])])
            messages.append(f"{name}: expected a value, but the key is missing")
        elif kind == "value_error":
            text = str(cause)  # errors of ranges begin with the name of their field
            named = isinstance(cause, OutOfRange) or not place
            messages.append(text if named else f"{'.'.join(place)}: {text}")
        else:  # a value that may have one of several types has an error for each of them
            choices = problem.get("ctx", {}).get("expected")
            expected.setdefault(place, []).append(str(choices or _EXPECTED.get(kind, problem["msg"])))
            found[place] = problem["input"]
    for place, kinds in expected.items():
        if not any(other[: len(place)] == place for other in expected if other != place):
            words = " or ".join(dict.fromkeys(kinds))
            messages.append(f"{'.'.join(place)}: expected {words}, got {_value_text(found[place], kinds)}")
    return messages


def _place(names: tuple[str | int, ...], values: Any) -> tuple[tuple[str, ...], Any]:
    """Keys and indices that lead to a value, without names of the members of a union; and the value."""
    place = []
    for name in names:
        known = range(len(values)) if isinstance(values, list | tuple) else values
        if isinstance(known, Mapping | range) and name in known:
            values = values[name]  # pyright: ignore[reportCallIssue, reportArgumentType]
            place.append(str(name))
    return tuple(place), values


def _value_text(value: Any, expected: list[str]) -> str:
    """A value of the wrong type as YAML writes it, and what to write instead if that is clear."""
    if not isinstance(value, str):
        text = f"{json.dumps(value, ensure_ascii=False):.80}"
        if expected == ["text"] and isinstance(value, int | float):
            return f"{text}; put it in quotes"
        whole = "a whole number" in expected and isinstance(value, float) and value.is_integer()
        return f"{text}; write {value:.0f}" if whole else text
    text = f"the text {value!r:.80}"
    if "true or false" in expected and value.lower() in _BOOLEANS:
        return f"{text}; write {_BOOLEANS[value.lower()]}"
    if value.lower() in ("none", "null"):
        return f"{text}; write null, without quotes"
    number = scalar(value.replace("_", ""))
    if {"a number", "a whole number"} & set(expected) and isinstance(number, int | float):
        return f"{text}; write {number:.0f}" if float(number).is_integer() else f"{text}; write {number}"
    return text


def check_keys(cls: type, values: Mapping[Any, Any], where: str, prefix: str = "") -> None:
    """Refuse keys that are not fields of a dataclass or of the dataclasses nested in it.

    For a class with a class method `variant(values)`, the dataclass that the method returns is used instead.

    Raises:
        ValueError: an unknown key; the nearest valid one is named.
    """
    hints = get_type_hints(cls)
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise ValueError(f"{where}: unknown key {name!r}; {did_you_mean(key, hints)}")
        inner = hints[key]
        if isinstance(value, Mapping) and (variant := getattr(inner, "variant", None)):
            try:
                inner = variant(value)
            except ValueError as error:
                raise ValueError(f"{where}: {name}.{error}") from error
        if get_origin(inner) is not dict:
            inner = next((kind for kind in get_args(inner) if is_dataclass(kind)), inner)  # such as C | None
        if isinstance(value, Mapping) and is_dataclass(inner):
            check_keys(inner, value, where, f"{name}.")  # pyright: ignore[reportArgumentType]
        if isinstance(value, Mapping) and get_origin(inner) is dict and is_dataclass(get_args(inner)[1]):
            for entry, values_of_entry in value.items():  # dataclasses by names that the user chooses
                if isinstance(values_of_entry, Mapping):
                    check_keys(get_args(inner)[1], values_of_entry, where, f"{name}.{entry}.")


def write_config(config: Any, path: str | Path) -> None:
    """Write a configuration as YAML that `read_config` reads back equal."""
    with whole_file(path) as temporary:
        temporary.write_text(yaml_text(json.loads(json.dumps(asdict(config)))), encoding="utf-8")


def fingerprint(values: Mapping[str, Any]) -> str:
    """Hash of a configuration's values: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class OutOfRange(ValueError):
    """A value of a configuration is out of its range; the message names field, range and value."""


class Range(NamedTuple):
    """A condition on a number, in words and as a test."""

    expected: str
    holds: Callable[[float], bool]


def _number_text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def at_least(least: float) -> Range:
    """Range of the finite numbers that are `least` or more."""
    return Range(f"at least {_number_text(least)}", lambda value: least <= value < math.inf)


def more_than(least: float) -> Range:
    """Range of the finite numbers that are more than `least`."""
    return Range(f"more than {_number_text(least)}", lambda value: least < value < math.inf)


def within(least: float, most: float) -> Range:
    """Range of the numbers from `least` to `most`, both included."""
    return Range(f"{_number_text(least)} to {_number_text(most)}", lambda value: least <= value <= most)


def between(least: float, most: float) -> Range:
    """Range of the numbers that are more than `least` and less than `most`."""
    return Range(f"more than {least:g} and less than {most:g}", lambda value: least < value < most)


FINITE = Range("a finite number", lambda value: not isinstance(value, float) or math.isfinite(value))
"""Range of a number for which no other range is given."""
SEED = within(0, 2**32 - 1)
"""Range of the seeds that torch, NumPy and ASE all accept."""
Seed = Annotated[int, SEED]
"""A seed of random numbers."""


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
    """Check a dataclass against the ranges in its annotations; all other numbers must be finite.

    Raises:
        OutOfRange: a value is out of its range, see `check_ranges`.
    """
    finite = {field.name: FINITE for field in fields(config) if getattr(config, field.name) is not None}
    check_values(section, vars(config), finite | annotated_ranges(type(config)), type(config))


def check_ranges(section: str, config: Any, **ranges: Range) -> None:
    """Check fields of a configuration against ranges, by name of the field.

    Args:
        section: name of the configuration within the whole, such as "optimizer"; "" for the whole.
        config: the configuration.
        ranges: the range of each field to check, by the name of the field.

    Raises:
        OutOfRange: a value is out of its range; a message is "optimizer.epochs: expected at least 1, got 0".
    """
    check_values(section, {name: getattr(config, name) for name in ranges}, ranges, type(config))


def check_values(
    section: str, values: Mapping[str, Any], ranges: Mapping[str, Range], annotated: Any
) -> None:
    """Check values against ranges, every entry of a tuple.

    Args:
        section: name of the configuration within the whole, see `check_ranges`.
        values: values by name.
        ranges: ranges by name.
        annotated: class or function whose annotations have these names. None is valid where the type includes
            it, such as `int | None`.

    Raises:
        OutOfRange: a value is out of its range, see `check_ranges`.
    """
    for name, (expected, holds) in ranges.items():
        value = values[name]
        if value is None:
            valid = type(None) in get_args(_type_hints(annotated)[name])
        else:
            valid = all(holds(number) for number in (value if isinstance(value, tuple) else (value,)))
        if not valid:
            came = list(value) if isinstance(value, tuple) else value
            raise OutOfRange(f"{section}{'.' if section else ''}{name}: expected {expected}, got {came}")


@cache
def _type_hints(annotated: Any) -> dict[str, Any]:
    return get_type_hints(annotated)
