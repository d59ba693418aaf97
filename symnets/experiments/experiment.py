"""What an experiment is: a module with `Config`, `PRESETS`, `run`, `together`, `figure` and `findings`."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

Scalar = float | int | str | bool | None
Arrays = Callable[[str], Mapping[str, np.ndarray]]
"""From the hash of a run, the index of its line in the table, to its arrays."""


@dataclass(frozen=True)
class Result:
    """What came out of one run."""

    row: dict[str, Scalar]
    """Scalars, what was measured, by name; `verdict` among them. No name of a field of the config,
    unless with its value."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Whatever is no scalar: spectra, histories, ..."""


@dataclass(frozen=True)
class Finding:
    """A measured number next to a published one."""

    quantity: str
    """What was measured, such as "slope of log N* against log P, MNIST parity"."""
    measured: float
    error: float | None
    """Standard error; None of what is exact or a count."""
    published: str
    """The published value and its source, such as "about 3/4 (Geiger et al. 2019, arXiv:1809.10665)"."""
    low: float
    """From here ..."""
    high: float
    """... to here we say that they agree."""

    @property
    def agrees(self) -> bool:
        """Whether the measured value lies in the band; NaN lies in none."""
        return bool(self.low <= self.measured <= self.high)


class Experiment(Protocol):
    """One phenomenon: how to run it, on which grid, and what its figure shows.

    A module fulfils this, found by its import path; its docstring says what is asked, the law, the source
    and what the figure shows. A run may call `symnets.experiments.progress.report`. Members of equal
    `together(config)` share a call of `run`, at most `MAX_TOGETHER` of them (32, if the module has none).
    """

    __name__: str

    @property
    def Config(self) -> type[Any]:
        """A frozen dataclass of scalars (int, float, str, bool, None, Literal), `seed` among them.

        Its `__post_init__` refuses what makes no sense with a ValueError, as `check_ranges` does.
        """
        ...

    @property
    def PRESETS(self) -> Mapping[str, Sequence[Any]]:
        """Configs by name: "quick" takes at most five minutes on two cores, "paper" is the published grid."""
        ...

    def run(self, configs: Sequence[Any]) -> Sequence[Result]:
        """Runs configs of equal `together` in one batch; one result each, in order."""
        ...

    def together(self, config: Any) -> Hashable:
        """What configs have in common that may share a call of `run`: the shape of a net, say."""
        ...

    def figure(self, table: pd.DataFrame, arrays: Arrays) -> Figure:
        """The figure, from a table of runs that did not fail."""
        ...

    def findings(self, table: pd.DataFrame, arrays: Arrays) -> Sequence[Finding]:
        """What was published, what came out, from a table of runs that did not fail."""
        ...
