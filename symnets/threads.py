"""Threads: their number in this process, and compiled loops that run in them on ranges of equal work."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

# Below this number of multiplications one thread is faster.
_SMALL = 2_000_000
_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _openmp_library() -> ctypes.CDLL | None:
    """The OpenMP library shipped with torch."""
    folder = Path(torch.__file__).parent / "lib"
    for path in (*folder.glob("libgomp*.so*"), *folder.glob("libiomp*.so*")):
        try:
            library = ctypes.CDLL(str(path))
            _ = library.GOMP_parallel, library.omp_get_num_threads
        except (OSError, AttributeError):
            continue
        else:
            return library
    return None


@lru_cache(maxsize=1)
def _openmp() -> Callable[..., None] | None:
    """`GOMP_parallel(function, data, threads, flags)` of the OpenMP library shipped with torch."""
    library = _openmp_library()
    if library is None:
        return None
    function = library.GOMP_parallel
    function.argtypes, function.restype = [_BODY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return function


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


_openmp_state = {"allowed": True, "used": False}
"""Whether OpenMP may be used in this process, and whether it has been."""


def _after_fork() -> None:
    """Avoid deadlocks in a forked child, which inherits thread pools without their threads.

    torch's own operations use the same OpenMP threads, hence one thread for them if OpenMP has been used.
    """
    _pool.cache_clear()
    _openmp_state["allowed"] = False
    if _openmp_state["used"]:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def set_threads(n: int) -> None:
    """Let torch, the compiled loops of symnets and the linear algebra of NumPy and SciPy use n threads.

    Raises:
        ValueError: `n` is less than 1.
    """
    if n < 1:
        raise ValueError(f"threads: expected at least 1, got {n}")
    torch.set_num_threads(n)
    threadpool_limits(n)


def one_blas_thread() -> threadpool_limits:
    """Context in which the linear algebra of NumPy and SciPy uses one thread, and torch as many as before.

    Threads wait for each other at every call. On cores shared with other processes a decomposition of a 3 x 3
    matrix then takes milliseconds instead of microseconds.
    """
    return threadpool_limits(1, user_api="blas")


def run(loop: Callable[[int, int], None], work: np.ndarray) -> None:
    """Call `loop(low, high)` on ranges of equal work, in as many threads as torch uses.

    The threads are torch's OpenMP threads if its library can be called. Threads of a separate pool would
    compete for the cores with torch's, which spin while they wait.

    Args:
        loop: function of a range of items that releases the interpreter lock.
        work: cumulative number of multiplications before each item, (items + 1,).
    """
    items, threads = len(work) - 1, torch.get_num_threads()
    if threads == 1 or work[-1] < _SMALL:
        loop(0, items)
        return
    cuts = np.searchsorted(work, np.linspace(0, work[-1], threads + 1))
    cuts[0], cuts[-1] = 0, items
    ranges = list(pairwise(cuts.tolist()))
    parallel = _openmp() if _openmp_state["allowed"] else None
    if parallel is None:
        tasks = [_pool(threads).submit(loop, low, high) for low, high in ranges]
        for task in tasks:
            task.result()
        return
    errors: list[BaseException] = []
    remaining = iter(ranges)  # shared by the threads; next() is atomic

    def body(_: int | None) -> None:
        try:
            for low, high in remaining:
                loop(low, high)
        except BaseException as error:  # ctypes would only print it; raised below
            errors.append(error)

    _openmp_state["used"] = True
    parallel(_BODY(body), None, threads, 0)
    if errors:
        raise errors[0]


def call_in_threads(function: Callable[..., None], address: int) -> None:
    """Call a compiled function in each of torch's OpenMP threads; it divides the work among them itself.

    Args:
        function: compiled function that takes an address. It must not wait for more threads than
            `thread_counter` counts.
        address: the argument of the function.
    """
    parallel, threads = _openmp() if _openmp_state["allowed"] else None, torch.get_num_threads()
    if parallel is None or threads == 1:
        function(address)
        return
    _openmp_state["used"] = True
    parallel(function, address, threads, 0)


@lru_cache(maxsize=1)
def thread_counter() -> int:
    """Address of OpenMP's `omp_get_num_threads`, which counts the threads of a team; 0 without OpenMP."""
    library = _openmp_library()
    return 0 if library is None else ctypes.cast(library.omp_get_num_threads, ctypes.c_void_p).value or 0
