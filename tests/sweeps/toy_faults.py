"""A toy experiment that fails in all the ways there are."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.sweeps import Arrays, Finding, Result, grid

Fault = Literal["none", "raise", "memory", "nan", "tensor", "killed", "short", "exit"]


@dataclass(frozen=True)
class Config:
    """A number, and what goes wrong on the way to it."""

    number: int = 0
    fault: Fault = "none"
    marker: str = ""
    seed: int = 0


PRESETS = {"quick": grid(Config, number=range(3), fault=("none", "raise")), "paper": ()}


def run(configs: Sequence[Config]) -> list[Result]:
    """Twice the number, unless something is wrong."""
    faults = [config.fault for config in configs]
    if "raise" in faults:
        raise ArithmeticError("the ground state is below the basement")
    if "memory" in faults:
        raise MemoryError("no room for 10^12 floats")
    if "exit" in faults:
        raise SystemExit("enough")
    if "killed" in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    if "short" in faults:
        return []
    value = {"nan": float("nan"), "tensor": np.zeros(3)}
    return [
        Result({"twice": value.get(config.fault, 2 * config.number), "verdict": "SAT"}) for config in configs
    ]


def batch_key(config: Config) -> None:
    """All."""


def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Twice the number against the number."""
    drawn = Figure(figsize=(4, 3))
    drawn.subplots().plot(table["number"], table["twice"], "o")
    return drawn


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """Two is two."""
    return [
        Finding(
            "factor", float((table["twice"] / table["number"]).to_numpy()[-1]), None, "3 (folklore)", 3, 3
        )
    ]
