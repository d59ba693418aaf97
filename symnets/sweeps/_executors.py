"""Executors: where the batches of a sweep run."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Serial(Executor):
    """Runs everything in this thread as soon as it is submitted: for debugging."""

    workers = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as other executors do: it comes back with the future
            future.set_exception(error)
        return future


class Processes(Executor):
    """Processes on this machine, fresh ones (spawn), that end when this one does, however it ends.

    When one is killed, all are replaced: their futures raise `BrokenExecutor`, the next ones run. They do not
    hear Ctrl-C; leaving the context by an exception, `KeyboardInterrupt` say, ends them at once.

    Args:
        workers: how many; as many as there are cores by default.

    Raises:
        ValueError: `workers` is less than 1.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers: expected at least 1, got {workers}")
        self.workers = workers or _cores()
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A call in one of the processes.

        Raises:
            RuntimeError: processes cannot be started.
        """
        if self._pool is not None:
            try:
                with _deaf():
                    return self._pool.submit(fn, *args, **kwargs)
            except BrokenExecutor:  # one was killed while all had nothing to do
                self.kill()
        self._start()
        return self.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes when they have done what was submitted."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
        if self._lifeline is not None and wait:
            self._lifeline.close()

    def kill(self) -> None:
        """Ends the processes at once."""
        if self._lifeline is not None:
            self._lifeline.close()
        self.shutdown(cancel_futures=True)
        self._pool = self._lifeline = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the processes, after an exception at once."""
        if kind is not None:
            self.kill()
        self.shutdown()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        # We never write; our end of the pipe closes when we are gone, even by kill -9.
        reader, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(self.workers, context, _begin, (reader,))
        try:
            with _deaf():
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


@contextmanager
def executor(name: str, workers: int | None = None) -> Iterator[Executor]:
    """An executor by the name that the command line gives it.

    Args:
        name: "local" for processes here, "serial" for this very thread, "dask://HOST:PORT" for the workers of
            a Dask cluster, which must see the same files under the same names.
        workers: processes, of "local"; as many as there are cores by default.

    Raises:
        ValueError: it has no such name, or `workers` says what it cannot do.
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
    elif name.startswith("dask://"):
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError("dask clusters need dask.distributed: pip install 'symnets[dask]'") from error
        with Client(name.replace("dask://", "tcp://", 1)) as client:
            # Impure: a batch that was busy is asked for again, and must not be answered from memory.
            yield client.get_executor(pure=False)
    else:
        raise ValueError(f"--executor: expected local, serial or dask://HOST:PORT, got {name!r}")


def _begin(lifeline: Connection) -> None:
    """In a new process: do not hear Ctrl-C, and die with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _deaf() -> Iterator[None]:
    """Within, Ctrl-C waits; processes that are started here never hear it, not even while they start."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
