"""Work on one thread: many runs at once leave nothing for a second one, and sums do not depend on it.

What a worker of a sweep does: claim a batch, run it, write its rows.
"""

import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from symnets.sweeps._batches import Batch
from symnets.sweeps._checkpoints import CHECKPOINTS, resumable
from symnets.sweeps._claims import claim, settle
from symnets.sweeps._experiment import Experiment, Result, Scalar, find, listening, name_of
from symnets.sweeps._store import failed_run, finished_run, write_run


@dataclass
class _Inside:
    """Who is within, in this process, and what was before the first came."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0
    before: int = 1
    limits: threadpool_limits | None = None


_inside = _Inside()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch, BLAS and OpenMP use one thread.

    BLAS's number and torch's belong to the process: of several threads that are within, the last to leave
    restores what was before the first came.
    """
    with _inside.lock:
        if _inside.count == 0:
            _inside.before = torch.get_num_threads()
            _inside.limits = threadpool_limits(1)
        _inside.count += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _inside.lock:
            _inside.count -= 1
            if _inside.count == 0 and _inside.limits is not None:
                _inside.limits.restore_original_limits()
                torch.set_num_threads(_inside.before)
            else:  # OpenMP has a number of its own for each thread: here that of the thread that leaves
                threadpool_limits(_inside.before, "openmp")


CLAIMS = ".claims"
"""Folder of the claims, beside the runs."""
Outcome = Literal["done", "busy"]


@dataclass(frozen=True)
class Order:
    """An order to a worker; plain values, for it may go to another machine."""

    experiment: str
    directory: str
    batch: Batch
    only: str | None = None
    """Of the batch only the run of this hash, by itself."""


def work(order: Order) -> Outcome:
    """Runs what is missing of a batch, unless another process has claimed it.

    A batch of which something is missing is run whole, so that its numbers do not depend on what was done
    before, and only what is missing is written. If it fails, its missing members are run one by one, and
    those that fail then are recorded with their errors.

    Raises:
        OSError: the directory cannot be written.
        ImportError: the experiment is not to be found here.
    """
    experiment, directory, batch = find(order.experiment), Path(order.directory), order.batch
    mine = claim(directory / CLAIMS, batch.id)
    if mine is None:
        return "busy"
    with mine, listening(mine.tell), one_thread():
        missing = _missing(directory, batch)
        if order.only is not None:
            _alone(experiment, directory, batch, [h for h in missing if h == order.only])
        elif missing and not _whole(experiment, directory, batch, missing):
            _alone(experiment, directory, batch, missing)
        if not _missing(directory, batch):
            settle(directory / CLAIMS, batch.id)
    return "done"


def run_all(experiment: Experiment, configs: Sequence[dict[str, Scalar]]) -> list[Result]:
    """One call of `run`.

    Raises:
        ValueError: not every config came back as a `Result`.
    """
    results = list(experiment.run([experiment.Config(**values) for values in configs]))
    if len(results) != len(configs) or not all(isinstance(result, Result) for result in results):
        kinds = sorted({type(result).__name__ for result in results})
        raise ValueError(
            f"{name_of(experiment)}.run: expected {len(configs)} times Result, got {len(results)} of {kinds}"
        )
    return results


def _missing(directory: Path, batch: Batch) -> list[str]:
    return [name for name in batch.hashes if not (directory / name).is_dir()]


def _whole(experiment: Experiment, directory: Path, batch: Batch, missing: Sequence[str]) -> bool:
    """Whether the batch ran in one call and could be written."""
    begin = time.perf_counter()
    name, alone = name_of(experiment), len(batch.hashes) == 1
    try:
        with resumable(directory / CHECKPOINTS / batch.id) as kept:
            results = run_all(experiment, batch.configs)
        seconds = (time.perf_counter() - begin + kept.seconds) / len(results)
        runs = [
            finished_run(name, config, result, seconds)
            for config, result in zip(batch.configs, results, strict=True)
        ]
    except Exception as error:  # whatever an experiment raises becomes its row; only bugs of ours would hide
        if alone:
            seconds = time.perf_counter() - begin
            write_run(directory, failed_run(name, batch.configs[0], _text(error), seconds))
        return alone
    for run, result in zip(runs, results, strict=True):
        if run.hash in missing:
            write_run(directory, run, result.arrays)
    return True


def _alone(experiment: Experiment, directory: Path, batch: Batch, missing: Sequence[str]) -> None:
    for one in batch.alone():
        if one.hashes[0] in missing:
            _whole(experiment, directory, one, list(one.hashes))


def _text(error: Exception) -> str:
    """Type, message, and where it happened: the last calls."""
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename != __file__]
    return "".join([*traceback.format_exception_only(error), *traceback.format_list(calls[-4:])]).strip()
