"""Work on one thread: many runs at once leave nothing for a second one, and sums do not depend on it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from threadpoolctl import threadpool_limits


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
