"""The record of a run: what was asked, what came out, and with what it was made."""

from dataclasses import dataclass, replace

import numpy as np

from symnets.experiments.experiment import Result, Scalar
from symnets.experiments.identity import TAKEN, run_hash
from symnets.experiments.provenance import made_on, provenance

ERROR = "ERROR"
"""The verdict of a run that raised an exception."""


@dataclass(frozen=True)
class Run:
    """One run, as row.json holds it."""

    experiment: str
    config: dict[str, Scalar]
    row: dict[str, Scalar]
    verdict: str | None
    seed: Scalar
    seconds: float
    error: str | None
    commit: str | None
    versions: dict[str, str | None]

    @property
    def hash(self) -> str:
        """Name of the run's directory."""
        return run_hash(self.experiment, self.config)


def finished_run(experiment: str, config: dict[str, Scalar], result: Result, seconds: float) -> Run:
    """A run that went well.

    Raises:
        ValueError: a measured value is no scalar, an array holds objects, or a name cannot be used.
    """
    plain: dict[str, Scalar] = {}
    for name, value in result.row.items():
        value = value.item() if isinstance(value, np.generic) else value
        if not isinstance(value, int | float | str | bool | None):
            kind = type(value).__name__
            raise ValueError(f"row[{name!r}]: expected int, float, str, bool or None, got {kind}")
        if name in TAKEN or (name in config and config[name] != value):
            raise ValueError(f"row[{name!r}]: the table has another column of this name; choose another")
        plain[name] = value
    for name, values in result.arrays.items():
        if np.asarray(values).dtype.hasobject or not name.isidentifier() or name == "file":
            raise ValueError(f"arrays[{name!r}]: expected numbers, under an identifier other than 'file'")
    run = _run(experiment, config, plain, seconds, None)
    return replace(run, versions=run.versions | made_on(config.get("device")))


def failed_run(experiment: str, config: dict[str, Scalar], error: str, seconds: float) -> Run:
    """A run that raised an exception: its row says so."""
    return _run(experiment, config, {"verdict": ERROR}, seconds, error)


def _run(
    experiment: str, config: dict[str, Scalar], row: dict[str, Scalar], seconds: float, error: str | None
) -> Run:
    verdict, made_with = row.get("verdict"), provenance()
    return Run(
        experiment,
        config,
        row,
        verdict=None if verdict is None else str(verdict),
        seed=config.get("seed"),
        seconds=seconds,
        error=error,
        commit=made_with["commit"],
        versions={name: version for name, version in made_with.items() if name != "commit"},
    )
