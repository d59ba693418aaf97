"""The mean of noise falls as the square root of its length: a toy experiment of ten milliseconds a run.

Runs of one batch share a generator, so that a row's bits depend on its batch.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.config import at_least, check_ranges
from symnets.estimates import Estimate
from symnets.sweeps import Arrays, Finding, Result, grid, report_progress


@dataclass(frozen=True)
class Config:
    """A row of noise."""

    length: int = 4
    seed: int = 0
    pause: float = 0.01

    def __post_init__(self) -> None:
        check_ranges("", self, length=at_least(1))


PRESETS = {
    "quick": grid(Config, length=(4, 16, 64), seed=range(4)),
    "paper": grid(Config, length=(4, 16, 64, 256), seed=range(50)),
}
MAX_BATCH = 5


def run(configs: Sequence[Config]) -> list[Result]:
    """Noise of one length, sampled in one call."""
    for number, config in enumerate(configs):
        report_progress(number / len(configs), f"member {number}")
        if log := os.environ.get("TOY_LOG"):
            with open(log, "a") as file:
                file.write(f"{os.getpid()} {config.length} {config.seed}\n")
        time.sleep(config.pause)
    generator = np.random.default_rng([config.seed for config in configs])
    noise = generator.standard_normal((len(configs), configs[0].length))
    return [Result({"mean": row.mean(), "verdict": "SAT"}, {"noise": row}) for row in noise]


def batch_key(config: Config) -> int:
    """Noise of one length."""
    return config.length


def figure(table: pd.DataFrame, arrays: Arrays) -> Figure:
    """Means against lengths."""
    result = Figure(figsize=(4, 3))
    axes = result.subplots()
    axes.loglog(table["length"], table["mean"].abs(), "o")
    return result


def findings(table: pd.DataFrame, arrays: Arrays) -> list[Finding]:
    """The variance of the noise is 1."""
    noise = np.concatenate([arrays(name)["noise"] for name in table.index])
    error = float(np.sqrt(2 / len(noise)))
    return [Finding("variance", Estimate(np.float64(noise.var()), error), "1 (by definition)", 0.5, 1.5)]
