"""The worker of a sweep: locks a batch, runs it on one thread, and writes its rows."""

import multiprocessing
import os
import platform
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from symnets.sweeps._batches import Batch
from symnets.sweeps._checkpoints import CHECKPOINTS, resumable
from symnets.sweeps._experiment import Experiment, Result, Scalar, on_progress
from symnets.sweeps._find import find, name_of, source_hash
from symnets.sweeps._locks import LOCKS, try_lock
from symnets.sweeps._store import failed_run, finished_run, write_run

Outcome = Literal["done", "locked"]


@dataclass(frozen=True)
class Job:
    """A batch for a worker to run; plain values, so that it can be sent to another machine.

    Attributes:
        experiment: name of the experiment.
        directory: directory of the runs.
        batch: the batch.
        only: hash of a run of the batch, to run it alone; None to run all.
        crashes: how many workers have died running the job.
    """

    experiment: str
    directory: str
    batch: Batch
    only: str | None = None
    crashes: int = 0

    @property
    def hashes(self) -> tuple[str, ...]:
        """Hashes of the runs to do."""
        return self.batch.hashes if self.only is None else (self.only,)


def run_job(job: Job) -> Outcome:
    """Runs the missing runs of a batch, unless another process has locked it.

    If some runs are missing, the whole batch is run, so that its numbers do not depend on what was done
    before; only missing rows are written. If that fails, the missing runs are repeated one by one, and
    those that fail again are recorded with their errors.

    Raises:
        OSError: the directory cannot be written.
        ImportError: this process cannot import the experiment.
    """
    try:
        experiment = find(job.experiment)
    except (ValueError, ImportError) as error:
        where = f"process {os.getpid()} on {platform.node()}, in {os.getcwd()}"
        raise ImportError(
            f"a worker ({where}) cannot import {job.experiment}: {str(error).partition(';')[0]}; start "
            "workers in the folder of the module, or with that folder in PYTHONPATH"
        ) from error
    directory, batch = Path(job.directory), job.batch
    if not directory.is_dir():
        raise FileNotFoundError(
            f"{directory}: a worker on {platform.node()} does not see this directory of the runs; workers "
            "need it under the same path"
        )
    lock = try_lock(directory / LOCKS, batch.id)
    if lock is None:
        return "locked"
    with lock, on_progress(lock.report), one_thread():
        run = _BatchRun(experiment, directory, lock.scratch, _hash_of(job.experiment, experiment.run))
        missing = run.missing(batch)
        if job.only is not None:
            run.one_by_one(batch, [name for name in missing if name == job.only])
        elif missing and not run.whole(batch, missing):
            run.one_by_one(batch, missing)
        if not run.missing(batch):
            lock.remove()
    return "done"


@lru_cache
def _hash_of(name: str, run: object) -> str | None:
    """Hash of the source when `run` was first called; later changes of the file have no effect on it."""
    return source_hash(name)


def call_run(experiment: Experiment, configs: Sequence[dict[str, Scalar]]) -> list[Result]:
    """One call of an experiment's `run`, with its results checked.

    Raises:
        ValueError: `run` did not return one `Result` for each config.
    """
    with _contained():
        returned = experiment.run([experiment.Config(**values) for values in configs])
        results: list[Result] = list(returned) if isinstance(returned, Iterable) else [returned]
    whole = isinstance(returned, Iterable) and all(isinstance(result, Result) for result in results)
    if len(results) != len(configs) or not whole:
        kinds = sorted({type(result).__name__ for result in results})
        raise ValueError(
            f"{name_of(experiment)}.run: expected {len(configs)} times Result, got {len(results)} of {kinds}"
        )
    return results


@contextmanager
def _contained() -> Iterator[None]:
    """Context that restores the settings of the process that a `run` may change and later runs depend on."""
    folder, dtype, output, errors = os.getcwd(), torch.get_default_dtype(), sys.stdout, sys.stderr
    with warnings.catch_warnings(), np.errstate():
        try:
            yield
        finally:
            os.chdir(folder)
            torch.set_default_dtype(dtype)
            sys.stdout, sys.stderr = output, errors


@dataclass(frozen=True)
class _BatchRun:
    """Runs batches of an experiment and writes their rows, each first to a scratch folder."""

    experiment: Experiment
    directory: Path
    scratch: Path
    code_hash: str | None

    def missing(self, batch: Batch) -> list[str]:
        """Hashes of the runs without a row."""
        return [name for name in batch.hashes if not (self.directory / name).is_dir()]

    def whole(self, batch: Batch, missing: Sequence[str]) -> bool:
        """Runs a batch in one call and writes the missing rows; False if it failed and nothing was written.

        The failure of a batch of one run is written as its row.
        """
        begin = time.perf_counter()
        name, single = name_of(self.experiment), len(batch.hashes) == 1
        try:
            with resumable(self.directory / CHECKPOINTS / batch.id) as checkpoints:
                results = call_run(self.experiment, batch.configs)
            seconds = (time.perf_counter() - begin + checkpoints.seconds) / len(results)
            runs = [
                finished_run(name, config, result, seconds, self.code_hash)
                for config, result in zip(batch.configs, results, strict=True)
            ]
        except BaseException as error:  # an experiment may raise anything; it becomes the run's row
            # Workers ignore Ctrl-C: there it was the experiment that raised KeyboardInterrupt.
            if isinstance(error, KeyboardInterrupt) and multiprocessing.parent_process() is None:
                raise
            if single:
                seconds = time.perf_counter() - begin
                run = failed_run(name, batch.configs[0], _text(error), seconds, self.code_hash)
                write_run(self.directory, run, scratch=self.scratch)
            return single
        for run, result in zip(runs, results, strict=True):
            if run.hash in missing:
                write_run(self.directory, run, result.arrays, scratch=self.scratch)
        return True

    def one_by_one(self, batch: Batch, missing: Sequence[str]) -> None:
        """Runs the missing runs of a batch, each in a call of its own."""
        for one in batch.singles():
            if one.hashes[0] in missing:
                self.whole(one, one.hashes)


def _text(error: BaseException) -> str:
    """Type and message of an exception, and the last calls that led to it."""
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename != __file__]
    return "".join([*traceback.format_exception_only(error), *traceback.format_list(calls[-4:])]).strip()


@dataclass
class _Limits:
    """Number of threads inside `one_thread`, and the limits that held before the first entered."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    n_inside: int = 0
    threads_before: int = 1
    limits: threadpool_limits | None = None


_limits = _Limits()


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which torch, BLAS and OpenMP use one thread.

    A sweep fills the cores with runs, so more threads per run would not help, and sums in one thread do not
    depend on the number of cores. The limits of BLAS and torch hold for the whole process: if several threads
    are inside, the last to leave restores them.
    """
    with _limits.lock:
        if _limits.n_inside == 0:
            _limits.threads_before = torch.get_num_threads()
            _limits.limits = threadpool_limits(1)
        _limits.n_inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _limits.lock:
            _limits.n_inside -= 1
            if _limits.n_inside == 0 and _limits.limits is not None:
                _limits.limits.restore_original_limits()
                torch.set_num_threads(_limits.threads_before)
            else:  # OpenMP has a limit of its own for each thread: restore that of the thread that leaves
                threadpool_limits(_limits.threads_before, "openmp")
