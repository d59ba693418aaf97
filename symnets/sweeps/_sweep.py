"""Sweeps: a grid of runs on an executor, where nothing is computed twice and nothing is lost."""

import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from symnets.sweeps._batches import Batch, batches
from symnets.sweeps._checkpoints import CHECKPOINTS, forget
from symnets.sweeps._claims import claimable, settle
from symnets.sweeps._executors import Processes
from symnets.sweeps._experiment import Experiment, name_of
from symnets.sweeps._live_view import Watch
from symnets.sweeps._store import clean, failed_run, present, read_run, remove_runs, write_run
from symnets.sweeps._table import table_of
from symnets.sweeps._worker import CLAIMS, Order, work

TRIES = 3
"""Times that a batch may take its worker down with it."""
POLL = 0.5  # s between looks at what other processes have done


def sweep(
    experiment: Experiment,
    configs: Iterable[Any],
    directory: str | Path,
    *,
    executor: Executor | None = None,
    retry_failed: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Runs all configs that have no row yet, and returns the table of all, in the order of the grid.

    A run that raises an exception has a row too, with the verdict "ERROR" and the exception's text. However
    a sweep ends, the rows in the directory are whole, and the same call goes on from there; several processes
    may sweep the same grid into the same directory and share the work.

    Args:
        experiment: a module, see `symnets.sweeps._experiment`.
        configs: the grid, such as `experiment.PRESETS["quick"]`.
        directory: where the runs go; made if need be.
        executor: any `concurrent.futures.Executor` whose workers see the directory; by default processes
            here, one a core. It stays open.
        retry_failed: run those again that raised an exception.
        progress: show a table, or where there is no terminal a line now and then, on standard error.

    Raises:
        ValueError: a config is not one of this experiment, or a run in the directory is damaged.
        OSError: the directory cannot be written.
        KeyboardInterrupt: Ctrl-C; what is done is kept.
    """
    directory, todo = Path(directory), batches(experiment, configs)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory}: expected a directory for the runs, got a file")
    (directory / CLAIMS).mkdir(parents=True, exist_ok=True)
    clean(directory)
    names = [name for batch in todo for name in batch.hashes]
    if retry_failed:
        there = present(directory)
        remove_runs(directory, [n for n in names if n in there and read_run(directory / n).error])
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(name_of(experiment), directory, todo, shown=progress))
        if executor is None and not watch.complete:
            executor = stack.enter_context(Processes())
        if executor is not None:
            _Sweep(experiment, directory, todo, executor, watch).run()
    for batch in todo:
        settle(directory / CLAIMS, batch.id)
    # Whoever was killed may have left some, and others have done the batch since.
    alone = [one for batch in todo for one in batch.alone()]
    forget(directory / CHECKPOINTS, [batch.id for batch in [*todo, *alone]])
    return table_of(read_run(directory / name) for name in names)


@dataclass(frozen=True)
class _Task:
    order: Order
    tries: int = 0

    @property
    def hashes(self) -> tuple[str, ...]:
        return self.order.batch.hashes if self.order.only is None else (self.order.only,)


class _Sweep:
    """The loop: submits, listens, and looks at what other processes do."""

    def __init__(
        self, experiment: Experiment, directory: Path, todo: list[Batch], executor: Executor, watch: Watch
    ) -> None:
        self.name, self.directory, self.executor, self.watch = name_of(experiment), directory, executor, watch
        self.room = getattr(executor, "workers", None)
        self.ready = deque(_Task(Order(self.name, str(directory.resolve()), batch)) for batch in todo)
        self.running: dict[Future[Any], _Task] = {}
        self.elsewhere: list[_Task] = []
        self.looked = 0.0

    def run(self) -> None:
        """Until every row exists."""
        try:
            while self.ready or self.running or self.elsewhere:
                self._submit()
                if self.running:
                    wait(self.running, POLL, FIRST_COMPLETED)
                elif self.elsewhere:
                    time.sleep(POLL)
                for future in [future for future in self.running if future.done()]:
                    self._hear(future, self.running.pop(future))
                self._look()
        finally:
            for future in self.running:
                future.cancel()

    def _submit(self) -> None:
        """Hands out work. What may have killed a worker goes last and alone, so that it harms nobody else."""
        while self.ready and (self.room is None or len(self.running) < self.room):
            task = self.ready[0]
            if task.tries and self.running:
                return
            self.ready.popleft()
            if self.watch.has(task.hashes):
                continue
            if not claimable(self.directory / CLAIMS, task.order.batch.id):
                self.elsewhere.append(task)
                continue
            self.running[self.executor.submit(work, task.order)] = task
            if task.tries:
                return

    def _hear(self, future: Future[Any], task: _Task) -> None:
        try:
            outcome = future.result()
        except Exception as error:
            if not _died(error):
                raise
            self._bury(replace(task, tries=task.tries + 1))
            return
        if outcome == "busy":
            self.elsewhere.append(task)
        else:
            self.watch.look()

    def _bury(self, task: _Task) -> None:
        """What to do with a task whose worker died."""
        if task.tries < TRIES:
            self.ready.append(task)
        elif len(task.hashes) > 1:  # one more try for each alone: only the guilty are recorded
            orders = [replace(task.order, only=name) for name in task.hashes]
            self.ready.extend(_Task(order, TRIES - 1) for order in orders)
        elif not self.watch.has(task.hashes):
            batch = task.order.batch
            config = dict(zip(batch.hashes, batch.configs, strict=True))["".join(task.hashes)]
            text = f"the process that ran it died {TRIES} times: killed, out of memory or crashed"
            write_run(self.directory, failed_run(self.name, config, text, 0.0))

    def _look(self) -> None:
        """Takes up what other processes finished, or left."""
        if time.monotonic() - self.looked < POLL:
            return
        self.watch.look()
        tasks, self.elsewhere = self.elsewhere, []
        for task in tasks:
            if self.watch.has(task.hashes):
                continue
            if claimable(self.directory / CLAIMS, task.order.batch.id):
                self.ready.append(task) if task.tries else self.ready.appendleft(task)
            else:
                self.elsewhere.append(task)
        self.looked = time.monotonic()


def _died(error: Exception) -> bool:
    """Whether a worker died, as processes and as Dask tell it."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
