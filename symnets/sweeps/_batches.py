"""Grids of configurations, hashes that identify their runs, and batches of runs that share a call."""

import itertools
import math
import types
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from symnets.config import check_keys, fingerprint
from symnets.names import did_you_mean
from symnets.sweeps._experiment import Experiment, Scalar
from symnets.sweeps._find import name_of

C = TypeVar("C")

NOT_HASHED = ("device",)
"""Fields that are left out of the hash of a run: they say where it is computed, not what."""
RESERVED = ("experiment", "error", "seconds", "commit", "code_hash")
"""Columns of every table; fields and measurements cannot have these names."""
MAX_BATCH = 32
"""Largest number of runs in a call, for an experiment that has `batch_key` but no `MAX_BATCH`."""


def grid(cls: type[C], **axes: Any) -> tuple[C, ...]:
    """Configurations for all combinations of values; the last axis varies fastest.

    Args:
        cls: a dataclass of scalars.
        axes: values of each field: a list, tuple, range or array, or one value for all configurations.

    Raises:
        ValueError: `cls` has no such field (the message names the nearest one), an axis has no values or one
            value twice, or `cls` refuses a value.

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
        ValueError: a setting has another form or an unknown field (the message names the nearest one), a
            field is set twice, or a value occurs twice, has the wrong type or is out of the field's range.

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


def scalars(config: Any) -> dict[str, Scalar]:
    """Fields of a configuration by name, as plain Python numbers.

    An int becomes a float if the field is declared as float, so that equal configurations have equal hashes.

    Raises:
        ValueError: a field is not a scalar, is NaN, or has a name that every table uses.
    """
    cls, values = type(config), {}
    hints = get_type_hints(cls)
    for field in fields(cls):
        value, where = getattr(config, field.name), f"{cls.__module__}.{cls.__name__}.{field.name}"
        value = value.item() if isinstance(value, np.generic) else value
        if field.name in RESERVED:
            raise ValueError(f"{where}: tables have a column of this name; choose another")
        if not isinstance(value, int | float | str | bool | None):
            raise ValueError(f"{where}: expected int, float, str, bool or None, got {type(value).__name__}")
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{where}: expected a number, got NaN")
        if isinstance(value, str) and value != plain_text(value):
            raise ValueError(f"{where}: expected Unicode text, got {value!a}")
        if type(value) is int and _is_float(hints[field.name]):
            value = float(value)
        values[field.name] = value
    return values


def plain_text(text: str) -> str:
    r"""A text in which characters that are not Unicode, as in undecodable file names, become "\udc80"."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def run_hash(experiment: str, config: Mapping[str, Scalar]) -> str:
    """Name of a run's directory: 16 hexadecimal digits, the same in every process and on every machine.

    The `device` is not hashed: a grid that was begun on a CPU can be continued on a GPU, and each row says
    on which device it was computed.

    Args:
        experiment: name of the experiment, as `name_of` returns it.
        config: fields of the configuration, as `scalars` returns them.
    """
    values = {name: value for name, value in config.items() if name not in NOT_HASHED}
    return fingerprint({"experiment": experiment, **values})


def _is_float(hint: Any) -> bool:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return float in kinds and int not in kinds


@dataclass(frozen=True)
class Batch:
    """Runs that share a call of `run`.

    Attributes:
        hashes: hashes of the runs, in the order in which `run` gets them.
        configs: fields of the configuration of each run, by name.
    """

    hashes: tuple[str, ...]
    configs: tuple[dict[str, Scalar], ...]

    @property
    def id(self) -> str:
        """Name of the batch: a hash of the hashes of its runs."""
        return fingerprint({"runs": self.hashes})

    def singles(self) -> list["Batch"]:
        """The runs as batches of one run each."""
        members = zip(self.hashes, self.configs, strict=True)
        return [Batch((name,), (values,)) for name, values in members]


def batches(experiment: Experiment, configs: Iterable[Any]) -> list[Batch]:
    """The batches of a whole grid, whether its runs are done already or not.

    Configs with equal `batch_key` share batches of up to `MAX_BATCH` runs, in the order of the grid; in an
    experiment without `batch_key` each config is a batch of its own. Only the grid decides which runs share a
    call, so an interrupted sweep ends with the same bits as one that was not interrupted. A config that
    occurs twice is run once.

    Raises:
        ValueError: a config is not one of this experiment, or is not a dataclass of scalars.
    """
    name, groups = name_of(experiment), {}
    for config in configs:
        if not isinstance(config, experiment.Config):
            raise ValueError(f"{name}: expected configs of {name}.Config, got {config!r}")
        values = scalars(config)
        hashed = run_hash(name, values)
        key = _batch_key(experiment, config) if hasattr(experiment, "batch_key") else hashed
        members: dict[str, dict[str, Scalar]] = groups.setdefault(key, {})
        members[hashed] = values
    size = getattr(experiment, "MAX_BATCH", MAX_BATCH)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name}.MAX_BATCH: expected a whole number from 1, got {size!r}")
    grouped = []
    for members in groups.values():
        hashes, values = tuple(members), tuple(members.values())
        grouped += [Batch(hashes[i : i + size], values[i : i + size]) for i in range(0, len(hashes), size)]
    return grouped


def _batch_key(experiment: Any, config: Any) -> Hashable:
    key = experiment.batch_key(config)
    try:
        hash(key)
    except TypeError as error:
        name = name_of(experiment)
        raise ValueError(f"{name}.batch_key: expected a hashable value, got {key!r}") from error
    return key
