"""The protocol of an experiment: a module with `Config`, `PRESETS`, `run`, `findings` and `figure`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from symnets.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Scalar = float | int | str | bool | None
Arrays = Callable[[str], Mapping[str, np.ndarray]]
"""Function from the hash of a run, which is the index of its row in the table, to its arrays by name."""


@dataclass(frozen=True)
class Result:
    """Measured quantities and arrays of one run.

    Attributes:
        row: scalars by name, `verdict` among them: the run's row of the table. An entry with the name of a
            field of the config must have the value of the field.
        arrays: arrays by name, such as spectra or histories.
    """

    row: dict[str, Scalar]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A measured number beside a published one.

    Attributes:
        quantity: what was measured, such as "slope of log N* against log P, MNIST parity".
        measured: the number with its standard error.
        published: the published value and its source, such as "about 3/4 (Geiger et al. 2019,
            arXiv:1809.10665)".
        low, high: the two agree if the measured value lies from `low` to `high`.
    """

    quantity: str
    measured: Estimate
    published: str
    low: float
    high: float

    @property
    def agrees(self) -> bool:
        """Whether the measured value lies from `low` to `high`; False for NaN."""
        return bool(self.low <= self.measured.value <= self.high)


class Experiment(Protocol):
    """One phenomenon: how to compute a run, on which grid, and what to conclude from the table of runs.

    A module implements this protocol; no class and no registration are needed. Its docstring states the
    question, the law, the source, and what the figure shows; the first line is its description in lists. The
    smallest experiment is:

        @dataclass(frozen=True)
        class Config:                       # scalars, one of them the seed
            n_steps: int = 100
            seed: int = 0

        PRESETS = {"quick": grid(Config, n_steps=(10, 100), seed=range(3)), "paper": ...}

        def run(configs):                   # computes: one Result for each config
            return [Result({"distance": walk(config), "verdict": "DONE"}) for config in configs]

        def findings(table, arrays):        # compares measured with published numbers
            return [Finding("exponent", law(table).exponent, "1/2 (Einstein 1905)", 0.45, 0.55)]

        def figure(table, arrays):          # draws: a matplotlib Figure
            ...

    `docs/recipes/experiment.md` shows a complete one. Two parts are optional. `batch_key(config)` returns a
    hashable value: configs with equal values share a call of `run`, at most `MAX_BATCH` of them (32 if the
    module does not define it). Without `batch_key` each call gets one config.

    `run` may call `symnets.sweeps.report_progress`.
    """

    __name__: str

    @property
    def Config(self) -> type[Any]:
        """A frozen dataclass of scalars (int, float, str, bool, None, Literal), `seed` among them.

        Its `__post_init__` raises ValueError for values that make no sense, as `check_ranges` does.
        """
        ...

    @property
    def PRESETS(self) -> Mapping[str, Sequence[Any]]:
        """Grids of configs: "quick" takes at most five minutes on two cores, "paper" is as published."""
        ...

    def run(self, configs: Sequence[Any]) -> Sequence[Result]:
        """Computes a batch of configs: one result each, in order, determined by the configs alone."""
        ...

    def findings(self, table: pd.DataFrame, arrays: Arrays) -> Sequence[Finding]:
        """Measured numbers beside published ones, from the table of the runs that did not fail."""
        ...

    def figure(self, table: pd.DataFrame, arrays: Arrays) -> Figure:
        """The figure, from the table of the runs that did not fail."""
        ...


ProgressCallback = Callable[[float, str], None]

_progress_callback: ContextVar[ProgressCallback | None] = ContextVar("progress_callback", default=None)


def report_progress(fraction: float, text: str = "") -> None:
    """Reports the progress of a run to the sweep's live view; does nothing outside a sweep.

    It may be called often: the sweep writes at most one report a second.

    Args:
        fraction: fraction of the run that is done, 0 to 1.
        text: what is being done.
    """
    callback = _progress_callback.get()
    if callback is not None:
        callback(fraction, text)


@contextmanager
def on_progress(callback: ProgressCallback) -> Iterator[None]:
    """Context in which `report_progress` calls the callback, in this thread."""
    token = _progress_callback.set(callback)
    try:
        yield
    finally:
        _progress_callback.reset(token)
