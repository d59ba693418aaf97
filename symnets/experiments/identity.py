"""The identity of a run: a hash of its experiment's name and its configuration."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from symnets.experiments.config import fingerprint
from symnets.experiments.experiment import Scalar

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
