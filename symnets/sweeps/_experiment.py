"""How far a run has come, told from within to whoever listens.

What an experiment is: a module with `Config`, `PRESETS`, `run`, `figure` and `findings`.

Experiments by name.
"""

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from symnets.names import did_you_mean

Listener = Callable[[float, str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report_progress(fraction: float, text: str = "") -> None:
    """Tells that a fraction of the work is done, 0 to 1, and what is going on; nothing if nobody listens.

    Call it as often as you like: a listener looks at the clock before it does anything slow.
    """
    listener = _listener.get()
    if listener is not None:
        listener(fraction, text)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within, in this thread, `report_progress` calls the listener."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


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
    and what the figure shows. A run may call `symnets.sweeps.report_progress`.

    Two parts are optional. `batch_key(config)` returns a hashable value: configs of equal value share a call
    of `run`, at most `MAX_BATCH` of them (32, if the module has none). Without it each call gets one config.
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
        """Runs configs of equal `batch_key` in one batch; one result each, in order."""
        ...

    def figure(self, table: pd.DataFrame, arrays: Arrays) -> Figure:
        """The figure, from a table of runs that did not fail."""
        ...

    def findings(self, table: pd.DataFrame, arrays: Arrays) -> Sequence[Finding]:
        """What was published, what came out, from a table of runs that did not fail."""
        ...


HOME = "symnets.experiments"
PARTS = ("Config", "PRESETS", "run", "figure", "findings")


def find(name: str) -> Experiment:
    """An experiment by its name: a module of `symnets.experiments`, or any module's dotted path.

    Modules of one's own are sought where Python seeks them, last in the working directory.

    Raises:
        ValueError: there is none of this name (the nearest is named), or the module is no experiment.
        ImportError: the module imports something that is not there.
    """
    path = f"{HOME}.{name}"
    if not _exists(path):
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        path = name
        if not _exists(path):
            raise ValueError(
                f"unknown experiment {name!r}; {did_you_mean(name, experiments())}; an experiment of your "
                "own is named by its import path, such as mine.jamming"
            )
    module = importlib.import_module(path)
    if missing := [part for part in PARTS if not hasattr(module, part)]:
        raise ValueError(f"{path} is no experiment: it lacks {', '.join(missing)}")
    return cast(Experiment, module)


def experiments() -> dict[str, str]:
    """The experiments of symnets: name -> first line of the docstring. Nothing is imported for it."""
    found = {}
    for folder in map(Path, importlib.import_module(HOME).__path__):
        for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
            tree = ast.parse(path.read_text("utf-8"))
            if set(PARTS) <= set(_names(tree)):
                name = path.parent.name if path.name == "__init__.py" else path.stem
                found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def name_of(experiment: Experiment) -> str:
    """What `find` calls an experiment; it stands in every row.

    Raises:
        ValueError: the module is the script that runs, which other processes could not import.
    """
    if experiment.__name__ == "__main__":
        raise ValueError("an experiment must be a module that can be imported, not the script that runs")
    return experiment.__name__.removeprefix(f"{HOME}.")


def _names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines or imports."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _exists(path: str) -> bool:
    if not all(word.isidentifier() for word in path.split(".")):
        return False
    try:
        return importlib.util.find_spec(path) is not None
    except (ModuleNotFoundError, ValueError):  # a package on the way is missing; `__main__`
        return False
