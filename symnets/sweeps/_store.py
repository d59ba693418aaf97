"""Processes, here and on other machines, and whether they are dead.

The record of a run: what was asked, what came out, and with what it was made.

Runs on disk: one directory a run, named by its hash, whole or absent.

A directory is written under a temporary name and renamed. The first to finish a run wins; whoever comes
second drops its own copy. So any number of processes, on any number of machines, may write at once.
"""

import json
import os
import platform
import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from symnets.provenance import made_on, provenance
from symnets.sweeps._batches import TAKEN, run_hash
from symnets.sweeps._experiment import Result, Scalar


def _host() -> str:
    """This machine's name and its table of processes: a container has one of its own."""
    try:
        table = f"-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # not Linux
        table = ""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node() or "host") + table


HOST = _host()


def is_dead(host: str, pid: int) -> bool:
    """Whether a process is known not to run; of another machine nothing is known."""
    if host != HOST:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it is another user's
        return False
    try:  # killed, but not yet buried by its parent
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def clock(folder: Path) -> float:
    """The time by the clock that stamps files in a folder: of the server, if that is another machine."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


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


ABANDONED_AFTER = 3600.0  # s; a row is written in far less
_RUN = re.compile(r"[0-9a-f]{16}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{32}")


def write_run(directory: Path, run: Run, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """Writes a run; one that is there already is left as it is.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    final = directory / run.hash
    temporary = directory / f".{run.hash}.{HOST}.{os.getpid()}.{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        _write_json(temporary / "config.json", {"experiment": run.experiment, **run.config})
        _write_json(temporary / "row.json", asdict(run))
        _write_arrays(temporary / "arrays.npz", arrays or {})
        _sync(temporary)
        try:
            os.rename(temporary, final)
        except OSError:
            if not final.is_dir():
                raise
        _sync(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_run(path: Path) -> Run:
    """The run in a directory.

    Raises:
        ValueError: a file is missing, cut short or altered, or config.json is of another run than the
            directory's name says.
    """
    try:
        config = json.loads((path / "config.json").read_text())
        run = Run(**json.loads((path / "row.json").read_text()))
        agree = {"experiment": run.experiment, **run.config} == config and run.hash == path.name
        known = isinstance(run.row, dict) and isinstance(run.error, str | None)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; delete it, and the sweep runs it again") from error
    if not agree or not known:
        raise ValueError(
            f"{path}: its files and its name do not agree, somebody altered them; delete it, and the sweep "
            "runs it again"
        )
    return run


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the run in a directory; empty of a run that failed.

    Raises:
        ValueError: the file is missing, cut short or altered, or holds Python objects.
    """
    try:
        with (path / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: arrays.npz: {error}; delete {path}, and the sweep runs it again"
        ) from error


def present(directory: Path) -> set[str]:
    """Hashes of the runs in a directory; whatever else lies there is of no concern."""
    return {entry.name for entry in os.scandir(directory) if _RUN.fullmatch(entry.name) and entry.is_dir()}


def remove_runs(directory: Path, hashes: Iterable[str]) -> None:
    """Removes runs, each at once."""
    for name in hashes:
        doomed = directory / f".{name}.{HOST}.{os.getpid()}.{uuid.uuid4().hex}"
        try:
            os.rename(directory / name, doomed)
        except FileNotFoundError:  # another process removed it
            continue
        shutil.rmtree(doomed, ignore_errors=True)


def clean(directory: Path) -> None:
    """Removes the temporary directories that dead processes left."""
    for entry in os.scandir(directory):
        if match := _TEMPORARY.fullmatch(entry.name):
            try:
                dead = is_dead(match[1], int(match[2]))
                if dead or clock(directory) - entry.stat().st_mtime > ABANDONED_AFTER:
                    shutil.rmtree(entry.path, ignore_errors=True)
            except FileNotFoundError:  # renamed meanwhile: it was alive
                continue


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


def _sync(directory: Path) -> None:
    """Has what a directory lists written to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
