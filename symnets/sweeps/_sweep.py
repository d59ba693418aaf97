"""Sweeps: a grid of runs on an executor; finished runs are never repeated and never lost."""

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from symnets.sweeps._batches import Batch, batches
from symnets.sweeps._checkpoints import CHECKPOINTS, remove_checkpoints
from symnets.sweeps._executors import Processes
from symnets.sweeps._experiment import Experiment
from symnets.sweeps._find import name_of, source_hash
from symnets.sweeps._live_view import LiveView
from symnets.sweeps._locks import LOCKS, is_locked, remove_locks, remove_scratch, try_lock
from symnets.sweeps._store import (
    failed_run,
    read_run,
    remove_leftovers,
    remove_runs,
    run_hashes,
    write_run,
)
from symnets.sweeps._table import outdated, table_of
from symnets.sweeps._worker import Job, run_job

MAX_CRASHES = 3
"""Number of times that a batch may crash its worker."""
POLL_EVERY = 0.5  # s between two checks for rows of other processes
CHECK_EVERY = 5.0  # s between two checks of the workers


def sweep(
    experiment: Experiment,
    configs: Iterable[Any],
    directory: str | Path,
    *,
    executor: Executor | None = None,
    retry_failed: bool = False,
    retry_outdated: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Runs all configs that have no row yet, and returns the table of the whole grid, in its order.

    A run that raises an exception has a row too, with the verdict "ERROR" and the exception's text. However
    a sweep ends, the rows in the directory are complete, and the same call continues from there. Several
    processes may sweep the same grid into the same directory at once: each run is computed by one of them.

    Args:
        experiment: a module as `symnets.sweeps.Experiment` describes it.
        configs: the grid, such as `experiment.PRESETS["quick"]`.
        directory: directory of the runs; created if it does not exist.
        executor: any `concurrent.futures.Executor` whose workers see the directory; it is left open. By
            default, processes on this machine, one for each core.
        retry_failed: repeat runs that raised an exception.
        retry_outdated: repeat runs that were made by other code according to the column `code_hash`: the
            experiment's module, a module beside it that it imports, or the version of symnets has changed
            since.
        progress: show a live table on standard error, or a line every 30 s if that is not a terminal.

    Raises:
        ValueError: a config is not one of this experiment, or a run in the directory is damaged.
        OSError: the directory cannot be written.
        KeyboardInterrupt: Ctrl-C; finished runs are kept.
    """
    directory, todo = Path(directory).absolute(), batches(experiment, configs)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory}: expected a directory for the runs, got a file")
    (directory / LOCKS).mkdir(parents=True, exist_ok=True)
    remove_leftovers(directory)
    remove_scratch(directory / LOCKS)
    names = [name for batch in todo for name in batch.hashes]
    if retry_failed or retry_outdated:
        existing = run_hashes(directory)
        table = table_of(read_run(directory / name) for name in names if name in existing)
        repeat = (retry_failed & table["error"].notna()) | (retry_outdated & outdated(table))
        remove_runs(directory, table.index[repeat.to_numpy()])
    with ExitStack() as stack:
        view = stack.enter_context(LiveView(name_of(experiment), directory, todo, visible=progress))
        if executor is None and not view.complete:
            executor = stack.enter_context(Processes())
        if executor is not None:
            _Sweep(experiment, directory, todo, executor, view).run()
    # Killed processes may have left files of batches that other processes have finished since.
    remove_locks(directory / LOCKS, [batch.id for batch in todo])
    singles = [single for batch in todo for single in batch.singles()]
    remove_checkpoints(directory / CHECKPOINTS, [batch.id for batch in [*todo, *singles]])
    return table_of(read_run(directory / name) for name in names)


class _Sweep:
    """The loop of a sweep: submits batches, collects outcomes, and reads the rows of other processes.

    Attributes:
        ready: jobs to submit.
        running: jobs that this process has submitted.
        locked_jobs: jobs whose batch another process has locked.
    """

    def __init__(
        self, experiment: Experiment, directory: Path, todo: list[Batch], executor: Executor, view: LiveView
    ) -> None:
        self.name, self.directory, self.executor, self.view = name_of(experiment), directory, executor, view
        self.locks = directory / LOCKS
        self.n_workers = getattr(executor, "workers", None)
        self.ready = deque(Job(self.name, str(directory), batch) for batch in todo)
        self.running: dict[Future[Any], Job] = {}
        self.locked_jobs: list[Job] = []
        self.last_poll = self.last_worker_check = 0.0
        self.trouble: str | None = None

    def run(self) -> None:
        """Runs the sweep until every run has a row."""
        try:
            while self.ready or self.running or self.locked_jobs:
                self._submit()
                if self.running:
                    wait(self.running, POLL_EVERY, FIRST_COMPLETED)
                elif self.locked_jobs:
                    time.sleep(POLL_EVERY)
                for future in [future for future in self.running if future.done()]:
                    self._on_result(future, self.running.pop(future))
                self._poll()
        finally:
            for future in self.running:
                future.cancel()

    def _submit(self) -> None:
        """Submits jobs while workers are free; a job that crashed a worker runs last and alone."""
        while self.ready and (self.n_workers is None or len(self.running) < self.n_workers):
            job = self.ready[0]
            if job.crashes and self.running:
                return
            self.ready.popleft()
            if self.view.has_rows(job.hashes):
                continue
            if is_locked(self.locks, job.batch.id):
                self.locked_jobs.append(job)
                continue
            self.running[self.executor.submit(run_job, job)] = job
            if job.crashes:
                return

    def _on_result(self, future: Future[Any], job: Job) -> None:
        try:
            outcome = future.result()
        except Exception as error:
            if not _is_crash(error):
                if (explained := _one_line(error)) is error:
                    raise
                raise explained from error
            self._on_crash(replace(job, crashes=job.crashes + 1))
            return
        if outcome == "locked":
            self.locked_jobs.append(job)
        else:
            self.view.refresh()

    def _on_crash(self, job: Job) -> None:
        """Tries the job again, then its runs one by one; records the run that crashes alone."""
        if job.crashes < MAX_CRASHES:
            self.ready.append(job)
        elif len(job.hashes) > 1:
            singles = [replace(job, only=name, crashes=MAX_CRASHES - 1) for name in job.hashes]
            self.ready.extend(singles)
        elif not self.view.has_rows(job.hashes):
            lock = try_lock(self.locks, job.batch.id)
            if lock is None:
                self.locked_jobs.append(job)
                return
            batch = job.batch
            config = dict(zip(batch.hashes, batch.configs, strict=True))[job.only or batch.hashes[0]]
            text = f"the process that ran it died {MAX_CRASHES} times: killed, out of memory or crashed"
            run = failed_run(self.name, config, text, 0.0, source_hash(self.name))
            with lock:
                write_run(self.directory, run, scratch=lock.scratch)

    def _poll(self) -> None:
        """Reads the rows that other processes wrote, and takes over batches that they left."""
        if time.monotonic() - self.last_poll < POLL_EVERY:
            return
        self.view.refresh()
        self._report_trouble()
        jobs, self.locked_jobs = self.locked_jobs, []
        for job in jobs:
            if self.view.has_rows(job.hashes):
                continue
            if is_locked(self.locks, job.batch.id):
                self.locked_jobs.append(job)
            elif job.crashes:
                self.ready.append(job)
            else:
                self.ready.appendleft(job)
        self.last_poll = time.monotonic()

    def _report_trouble(self) -> None:
        """Prints why nothing is computed, if the executor gives a new reason; asks it every five seconds."""
        if hasattr(self.executor, "trouble") and time.monotonic() - self.last_worker_check > CHECK_EVERY:
            trouble = self.executor.trouble()  # pyright: ignore[reportAttributeAccessIssue]
            if trouble is not None and trouble != self.trouble:
                self.view.print_line(trouble)
            self.trouble, self.last_worker_check = trouble, time.monotonic()


def _one_line(error: Exception) -> Exception:
    """The error to raise when the directory or the workers failed, rather than a run."""
    if isinstance(error, OSError | ValueError) or str(error).startswith("a worker ("):
        return error
    if isinstance(error, CancelledError):
        return ConnectionError(
            "the workers are lost: their scheduler has ended, or cannot be reached. Finished runs are kept; "
            "the same call continues the sweep"
        )
    cause = " ".join(str(error).split()) or type(error).__name__
    return OSError(
        f"the workers cannot run this sweep; they, and a scheduler, need the same symnets: {cause}"
    )


def _is_crash(error: Exception) -> bool:
    """Whether a worker died, as process pools and Dask report it."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
