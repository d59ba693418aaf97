"""A toy experiment with a fault on demand."""

import os
import signal
import warnings
from asyncio import CancelledError
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.estimates import Estimate
from symnets.sweeps import Arrays, Finding, Result, grid

Fault = Literal[
    "none",
    "raise",
    "memory",
    "nan",
    "tensor",
    "killed",
    "short",
    "exit",
    "cancel",
    "recursion",
    "warning",
    "nothing",
]


@dataclass(frozen=True)
class Config:
    """A number, and the fault in its computation."""

    number: int = 0
    fault: Fault = "none"
    marker: str = ""
    seed: int = 0


PRESETS = {"quick": grid(Config, number=range(3), fault=("none", "raise")), "paper": ()}


def run(configs: Sequence[Config]) -> list[Result]:
    """Twice the number, unless there is a fault."""
    faults = [config.fault for config in configs]
    if "raise" in faults:
        raise ArithmeticError("the ground state is below the basement")
    if "memory" in faults:
        raise MemoryError("no room for 10^12 floats")
    if "exit" in faults:
        raise SystemExit("enough")
    if "killed" in faults:
        os.kill(os.getpid(), signal.SIGKILL)
    if "cancel" in faults:
        raise CancelledError("cancelled")
    if "recursion" in faults:
        return run(configs)
    if "warning" in faults:
        warnings.simplefilter("error")
        warnings.warn("too warm", stacklevel=1)
    if "short" in faults:
        return []
    if "nothing" in faults:
        return None  # pyright: ignore[reportReturnType]
    value = {"nan": float("nan"), "tensor": np.zeros(3)}
    return [
        Result({"twice": value.get(config.fault, 2 * config.number), "verdict": "SAT"}) for config in configs
    ]


def batch_key(config: Config) -> None:
    """All runs share a batch."""


def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Twice the number against the number."""
    result = Figure(figsize=(4, 3))
    result.subplots().plot(table["number"], table["twice"], "o")
    return result


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The factor is two."""
    factor = float((table["twice"] / table["number"]).to_numpy()[-1])
    return [Finding("factor", Estimate(factor), "3 (folklore)", 3, 3)]
