"""Axes of a grid replaced from text."""

from dataclasses import dataclass
from typing import Literal

import pytest

from symnets.sweeps import grid, override


@dataclass(frozen=True)
class Config:
    """One field of each kind."""

    width: int = 3
    rate: float = 0.5
    bias: bool = True
    data: str = "random"
    dtype: Literal["float32", "none"] = "float32"
    data_seed: int | None = None


GRID = grid(Config, width=(3, 4), rate=(0.5, 0.25))


def test_replaced_axes_are_those_of_a_grid_with_these_values():
    configs = override(GRID, ["width=8,10", "data_seed=1,None"])
    assert set(configs) == set(grid(Config, width=(8, 10), rate=(0.5, 0.25), data_seed=(1, None)))
    assert len(configs) == len(set(configs)) == 8


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rate=1e-5", 1e-5),
        ("rate=2", 2.0),
        ("bias=false", False),
        ("data=7", "7"),
        ("data=none", "none"),
        ("dtype=none", "none"),
        ("data_seed=none", None),
        ("width=8", 8),
    ],
)
def test_values_have_the_type_of_their_field(setting, value):
    (config,) = override([Config(data_seed=3)], [setting])
    replaced = getattr(config, setting.partition("=")[0])
    assert replaced == value
    assert type(replaced) is type(value)


def test_without_settings_the_grid_is_unchanged():
    assert override(GRID, []) == GRID


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["widht=3"], "unknown key 'widht'; did you mean 'width'"),
        (["width"], "expected field=value"),
        (["width="], "width: Input should be a valid integer"),
        (["width=2.5"], "width: Input should be a valid integer"),
        (["dtype=float16"], "dtype: Input should be 'float32' or 'none'"),
        (["width=3", "width=4"], "width is set twice"),
        (["width=3,3"], "has a value twice"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        override(GRID, settings)
