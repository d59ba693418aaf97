"""Executors: this process, processes on this machine, or the workers of a Dask cluster."""

import logging
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Serial(Executor):
    """Runs each call in this thread as soon as it is submitted; for debugging."""

    workers = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls the function at once, and returns a finished future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as in other executors, the future raises it
            future.set_exception(error)
        return future


class Processes(Executor):
    """Worker processes on this machine, started fresh (spawn), that never outlive this process.

    If one is killed, all are replaced: running futures raise `BrokenExecutor`, and later calls run in new
    processes. The workers ignore Ctrl-C. If an exception (such as `KeyboardInterrupt`) leaves the context,
    they are ended at once. They also end if this process is killed.

    Args:
        workers: number of processes; by default the number of cores.

    Raises:
        ValueError: `workers` is less than 1.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        self.workers = workers or _n_cores()
        self._pool: ProcessPoolExecutor | None = None
        self._parent_alive: Connection | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls a function in one of the processes.

        Raises:
            RuntimeError: processes cannot be started.
        """
        if self._pool is not None:
            try:
                with _ctrl_c_blocked():
                    return self._pool.submit(fn, *args, **kwargs)
            except BrokenExecutor:  # one was killed while all were idle
                self.kill()
        self._start()
        return self.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes when all submitted calls are done."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
        if self._parent_alive is not None and wait:
            self._parent_alive.close()

    def kill(self) -> None:
        """Ends the processes at once."""
        if self._parent_alive is not None:
            self._parent_alive.close()
        self.shutdown(cancel_futures=True)
        self._pool = self._parent_alive = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes; after an exception, without waiting for their calls."""
        if kind is not None:
            self.kill()
        self.shutdown()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        # Nothing is ever written: the pipe closes when this process ends, also by kill -9.
        reader, self._parent_alive = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(self.workers, context, _initialize_worker, (reader,))
        try:
            with _ctrl_c_blocked():
                first = self._pool.submit(os.getpid)
            first.result()
        except BrokenExecutor as error:
            self.kill()
            raise RuntimeError(
                "worker processes cannot be started; a script that calls sweep does so below "
                "`if __name__ == '__main__':`"
            ) from error
        except BaseException:
            self.kill()
            raise


class Dask(Executor):
    """The workers of a Dask cluster.

    Args:
        client: `distributed.Client` of the cluster.
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        # Not pure: a batch that was locked is submitted again, and Dask must not return the old outcome.
        self._executor = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Calls a function on one of the workers."""
        return self._executor.submit(fn, *args, **kwargs)

    def trouble(self) -> str | None:
        """Reason why no run is computed at present; None if there are workers."""
        address = self.client.scheduler.address
        with suppress(OSError):  # the connection has just been lost
            if self.client.status == "running" and self.client.nthreads():
                return None
        if self.client.status != "running":
            return f"the connection to the scheduler {address} is lost; trying to connect again"
        return f"the scheduler {address} has no workers; waiting for some; `dask worker {address}` starts one"


@contextmanager
def _dask(address: str) -> Iterator[Dask]:
    """The workers of a scheduler at HOST:PORT; connection losses are reported by `Dask.trouble` alone."""
    try:
        import dask.config
        from dask.utils import parse_timedelta
        from distributed import Client
    except ImportError as error:
        raise ImportError("dask clusters need dask.distributed: pip install 'symnets[dask]'") from error
    loggers = [logging.getLogger(f"distributed.{part}") for part in ("client", "comm", "utils_comm")]
    levels = [logger.level for logger in loggers]
    timeout = min(parse_timedelta(dask.config.get("distributed.comm.timeouts.connect")), 10.0)
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            client = Client(f"tcp://{address}", timeout=timeout)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {address} within {timeout:g} s; `dask scheduler` starts one"
            ) from error
        with client:
            yield Dask(client)
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def executor(name: str, workers: int | None = None) -> Iterator[Executor]:
    """An executor by its name on the command line.

    Args:
        name: "local" for processes on this machine, "serial" for this thread, "dask://HOST:PORT" for the
            workers of a Dask cluster, which must see the same files under the same names.
        workers: number of processes of "local"; by default the number of cores.

    Raises:
        ValueError: there is no executor of this name, or `workers` is given for an executor other than
            "local".
        ImportError: dask.distributed is not installed.
        OSError: there is no scheduler at this address.
    """
    if name != "local" and workers is not None:
        raise ValueError(f"--workers goes with --executor local, got --executor {name}")
    if name == "local":
        with Processes(workers) as processes:
            yield processes
    elif name == "serial":
        yield Serial()
    elif re.fullmatch(r"dask://.+:\d+", name):
        with _dask(name.removeprefix("dask://")) as dask:
            yield dask
    else:
        raise ValueError(f"--executor: expected local, serial or dask://HOST:PORT, got {name!r}")


def _initialize_worker(parent_alive: Connection) -> None:
    """Runs first in a worker process: ignore Ctrl-C, and exit when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent_alive.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Context in which Ctrl-C is delayed; processes started in it ignore it from their start."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _n_cores() -> int:
    """Number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
