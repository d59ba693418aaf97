"""Runs on disk: one directory for each run, named by the hash of its configuration, complete or absent.

A directory is written under a temporary name and renamed. If two processes finish the same run, the first
rename wins and the second copy is dropped. So any number of processes, on any number of machines, may write
at once.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from symnets.provenance import made_on, provenance
from symnets.sweeps._batches import RESERVED, plain_text, run_hash
from symnets.sweeps._experiment import Result, Scalar

LONGEST = 1000
"""Largest number of digits of a whole number in row.json; Python reads at most 4300."""
ERROR = "ERROR"
"""Verdict of a run that raised an exception."""
_RUN = re.compile(r"[0-9a-f]{16}")
_REMOVED = re.compile(r"\.[0-9a-f]{16}\.removed\.[0-9a-f]{32}")


@dataclass(frozen=True)
class Run:
    """The record of a run, as in row.json: its configuration, its results, and the versions of the code."""

    experiment: str
    config: dict[str, Scalar]
    row: dict[str, Scalar]
    verdict: str | None
    seed: Scalar
    seconds: float
    error: str | None
    commit: str | None
    versions: dict[str, str | None]
    code_hash: str | None = None  # of `source_hash`; None if unknown, as in runs of early versions

    @property
    def hash(self) -> str:
        """Name of the run's directory."""
        return run_hash(self.experiment, self.config)


def finished_run(
    experiment: str,
    config: dict[str, Scalar],
    result: Result,
    seconds: float,
    code_hash: str | None = None,
) -> Run:
    """The record of a run that succeeded.

    Raises:
        ValueError: a measured value is not a scalar, an array holds objects, or a name is reserved.
    """
    plain: dict[str, Scalar] = {}
    for name, value in result.row.items():
        if not isinstance(name, str) or name != plain_text(name):
            raise ValueError(f"row[{name!a}]: expected a name that is Unicode text")
        value = _scalar(name, value)
        if name in RESERVED or (name in config and config[name] != value):
            raise ValueError(f"row[{name!r}]: the table has another column of this name; choose another")
        plain[name] = value
    for name, values in result.arrays.items():
        if np.asarray(values).dtype.hasobject or not name.isidentifier() or name == "file":
            raise ValueError(f"arrays[{name!r}]: expected numbers, under an identifier other than 'file'")
    run = _run(experiment, config, plain, seconds, None, code_hash)
    return replace(run, versions=run.versions | made_on(config.get("device")))


def _scalar(name: str, value: Any) -> Scalar:
    """A measured value as a plain scalar; NumPy's scalars and tensors without axes are converted."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = float(value) if isinstance(value, np.floating) else value.item()
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        raise ValueError(f"row[{name!r}]: expected a whole number of at most {LONGEST} digits")
    if not isinstance(value, int | float | bool | None):
        kind = type(value).__name__
        raise ValueError(
            f"row[{name!r}]: expected int, float, str, bool or None, got {kind}; arrays go into Result.arrays"
        )
    return value


def failed_run(
    experiment: str, config: dict[str, Scalar], error: str, seconds: float, code_hash: str | None = None
) -> Run:
    """The record of a run that raised an exception, with the verdict "ERROR"."""
    return _run(experiment, config, {"verdict": ERROR}, seconds, plain_text(error), code_hash)


def _run(
    experiment: str,
    config: dict[str, Scalar],
    row: dict[str, Scalar],
    seconds: float,
    error: str | None,
    code_hash: str | None,
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
        code_hash=code_hash,
    )


def write_run(
    directory: Path,
    run: Run,
    arrays: Mapping[str, np.ndarray] | None = None,
    *,
    scratch: Path | None = None,
) -> None:
    """Writes a run; one that exists already is left as it is.

    Args:
        directory: directory of the runs.
        run: record of the run.
        arrays: arrays of the run, by name.
        scratch: folder on the same file system to write in before the rename; `directory` by default.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    final = directory / run.hash
    temporary = (scratch or directory) / f".{run.hash}.{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        _write_json(temporary / "config.json", {"experiment": run.experiment, **run.config})
        _write_json(temporary / "row.json", asdict(run))
        _write_arrays(temporary / "arrays.npz", arrays or {})
        _fsync(temporary)
        try:
            os.rename(temporary, final)
        except OSError:
            if not final.is_dir():
                raise
        _fsync(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_run(path: Path) -> Run:
    """The run in a directory.

    Raises:
        ValueError: a file is missing, truncated or altered, or config.json does not have the hash that is the
            directory's name.
    """
    try:
        config = json.loads((path / "config.json").read_text())
        run = Run(**json.loads((path / "row.json").read_text()))
        consistent = {"experiment": run.experiment, **run.config} == config and run.hash == path.name
        typed = isinstance(run.row, dict) and isinstance(run.error, str | None)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; delete it, and the sweep runs it again") from error
    if not (consistent and typed):
        raise ValueError(
            f"{path}: its files and its name do not agree, so they were altered; delete it, and the sweep "
            "runs it again"
        )
    return run


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the run in a directory by name; none if the run failed.

    Raises:
        ValueError: the file is missing, truncated or altered, or holds Python objects.
    """
    try:
        with (path / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as npz:
            return {name: npz[name] for name in npz.files}
    except Exception as error:  # from the zip archive, or from Python's parser of NumPy's headers
        raise ValueError(
            f"{path}: arrays.npz: {error}; delete {path}, and the sweep runs it again"
        ) from error


def run_hashes(directory: Path) -> set[str]:
    """Hashes of the runs in a directory; other files there are ignored."""
    return {entry.name for entry in os.scandir(directory) if _RUN.fullmatch(entry.name) and entry.is_dir()}


def remove_runs(directory: Path, hashes: Iterable[str]) -> None:
    """Removes runs; each is renamed first, so that other processes never read a half-removed run."""
    for name in hashes:
        removed = directory / f".{name}.removed.{uuid.uuid4().hex}"
        try:
            os.rename(directory / name, removed)
        except FileNotFoundError:  # another process removed it
            continue
        shutil.rmtree(removed, ignore_errors=True)


def remove_leftovers(directory: Path) -> None:
    """Removes directories that `remove_runs` had renamed before its process was killed."""
    for entry in os.scandir(directory):
        if _REMOVED.fullmatch(entry.name):
            shutil.rmtree(entry.path, ignore_errors=True)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(values, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())


def _fsync(directory: Path) -> None:
    """Flushes the entries of a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
