"""The identity of a run: a hash of its experiment's name and its configuration.

Batches: which runs of a grid share a call.
"""

import math
import types
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from symnets.config import fingerprint
from symnets.sweeps._experiment import Experiment, Scalar, name_of

FREE = ("device",)
"""Fields that say where a run is computed, not what: no part of its identity."""
TAKEN = ("experiment", "error", "seconds", "commit")
"""Columns of every table, so no names of fields or measurements."""


def scalars(config: Any) -> dict[str, Scalar]:
    """Fields of a configuration by name: plain Python numbers, and 1.0 where a float is declared and 1 given.

    So equal configurations have equal hashes.

    Raises:
        ValueError: a field is no scalar, or NaN, or has a name that every table uses.
    """
    cls, found = type(config), {}
    hints = get_type_hints(cls)
    for field in fields(cls):
        value, where = getattr(config, field.name), f"{cls.__module__}.{cls.__name__}.{field.name}"
        value = value.item() if isinstance(value, np.generic) else value
        if field.name in TAKEN:
            raise ValueError(f"{where}: tables have a column of this name; choose another")
        if not isinstance(value, int | float | str | bool | None):
            raise ValueError(f"{where}: expected int, float, str, bool or None, got {type(value).__name__}")
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{where}: expected a number, got NaN")
        if type(value) is int and _is_float(hints[field.name]):
            value = float(value)
        found[field.name] = value
    return found


def run_hash(experiment: str, config: Mapping[str, Scalar]) -> str:
    """Name of a run's directory: 16 hexadecimal digits, the same in every process and on every machine.

    The same whatever the `device`, too: a grid that was begun on a CPU goes on on a GPU, and each row keeps
    the device that made it.

    Args:
        experiment: its name, as `name_of` gives it.
        config: as `scalars` gives it.
    """
    values = {name: value for name, value in config.items() if name not in FREE}
    return fingerprint({"experiment": experiment, **values})


def _is_float(hint: Any) -> bool:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return float in kinds and int not in kinds


MAX_BATCH = 32
"""Runs in a call, of an experiment that says nothing of it."""


@dataclass(frozen=True)
class Batch:
    """Runs that share a call of `run`, in the order in which it gets them."""

    hashes: tuple[str, ...]
    configs: tuple[dict[str, Scalar], ...]
    """Fields by name."""

    @property
    def id(self) -> str:
        """A hash of the members."""
        return fingerprint({"runs": self.hashes})

    def alone(self) -> list["Batch"]:
        """A batch of each member."""
        members = zip(self.hashes, self.configs, strict=True)
        return [Batch((name,), (values,)) for name, values in members]


def batches(experiment: Experiment, configs: Iterable[Any]) -> list[Batch]:
    """The batches of a whole grid, whatever of it is done already.

    Configs of equal `batch_key` share batches of up to `MAX_BATCH`, in the order of the grid; without
    `batch_key` each config is a batch of its own. So the grid
    alone decides who runs with whom, and a sweep that was interrupted ends with the same bits as one that was
    not. A config that occurs twice is run once.

    Raises:
        ValueError: a config is not one of this experiment, or is no dataclass of scalars.
    """
    name, groups = name_of(experiment), {}
    for config in configs:
        if not isinstance(config, experiment.Config):
            raise ValueError(f"{name}: expected configs of {name}.Config, got {config!r}")
        values = scalars(config)
        hashed = run_hash(name, values)
        members: dict[str, dict[str, Scalar]] = groups.setdefault(_key(experiment, config, hashed), {})
        members[hashed] = values
    size = getattr(experiment, "MAX_BATCH", MAX_BATCH)
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name}.MAX_BATCH: expected a whole number from 1, got {size!r}")
    found = []
    for members in groups.values():
        hashes, values = tuple(members), tuple(members.values())
        found += [Batch(hashes[i : i + size], values[i : i + size]) for i in range(0, len(hashes), size)]
    return found


def _key(experiment: Experiment, config: Any, alone: str) -> Hashable:
    batch_key = getattr(experiment, "batch_key", None)
    if batch_key is None:
        return alone
    key = batch_key(config)
    try:
        hash(key)
    except TypeError as error:
        raise ValueError(
            f"{name_of(experiment)}.batch_key: expected something hashable, got {key!r}"
        ) from error
    return key
