"""Tables hold what runs return: large integers, NumPy scalars, missing values, several types, any text."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from symnets.sweeps import Result, Table, write_table
from symnets.sweeps._batches import scalars
from symnets.sweeps._store import finished_run, write_run
from symnets.sweeps._table import outdated


@dataclass(frozen=True)
class Config:
    seed: int = 0
    name: str = "Å \u2028 😀, 'quoted'\r\n\"line\""


def table_of(folder, values: list[Any]) -> pd.DataFrame:
    for seed, value in enumerate(values):
        write_run(folder, finished_run("toy", scalars(Config(seed)), Result({"x": value}), 0.0))
    return Table.load(folder)


@pytest.mark.parametrize(
    ("values", "in_csv"),
    [
        ([2**64 + 1, -(2**70)], ["18446744073709551617", "-1180591620717411303424"]),
        ([2**63 - 1, None], ["9223372036854775807", ""]),
        ([2**60 + 1, 0.5], ["1152921504606846977", "0.5"]),
        ([np.uint64(2**64 - 1), np.int8(-1)], ["18446744073709551615", "-1"]),
        ([np.bool_(True), None], ["True", ""]),
        ([np.float16(0.5), np.longdouble(0.25)], ["0.5", "0.25"]),
        ([math.inf, -math.inf, math.nan], ["inf", "-inf", ""]),
        ([torch.tensor(3), np.array(4)], ["3", "4"]),
        (["a", 1, None, 0.5], ["a", "1", "", "0.5"]),
        (["\udc80", "é\n"], ["\\udc80", "é\n"]),
        ([None, None], ["", ""]),
    ],
)
def test_values_are_written_as_they_are(tmp_path, values, in_csv):
    (tmp_path / "runs").mkdir()
    table = table_of(tmp_path / "runs", values)
    write_table(table, tmp_path / "t.csv")
    read = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert list(read["x"]) == in_csv
    assert list(read["name"]) == [Config().name] * len(values)
    write_table(table, tmp_path / "t.parquet")
    again = pd.read_parquet(tmp_path / "t.parquet")
    assert len(again) == len(values)
    assert [value is None or value != value for value in again["x"]] == [text == "" for text in in_csv]
    assert not outdated(table).any()


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, 1j, b"x", np.zeros(2), torch.zeros(2)])
def test_values_that_are_no_scalars_are_refused(value):
    with pytest.raises(ValueError, match=r"row\['x'\]: expected"):
        finished_run("toy", scalars(Config()), Result({"x": value}), 0.0)


def test_names_and_fields_are_unicode_text_and_numbers_have_a_thousand_digits_at_most():
    with pytest.raises(ValueError, match=r"row\['x'\]: expected a whole number of at most 1000 digits"):
        finished_run("toy", scalars(Config()), Result({"x": 10**5000}), 0.0)
    with pytest.raises(ValueError, match=r"row\[1\]: expected a name"):
        finished_run("toy", scalars(Config()), Result({1: 2}), 0.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"Config\.name: expected Unicode text, got '.udc80'"):
        scalars(Config(name="\udc80"))
