"""Threads for compiled loops: each takes a range of equal work."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

# Fewer multiplications than this are not worth a second thread.
_SMALL = 2_000_000
_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _openmp() -> Callable[..., None] | None:
    """`GOMP_parallel(function, data, threads, flags)` of the OpenMP that torch brought along."""
    folder = Path(torch.__file__).parent / "lib"
    for path in (*folder.glob("libgomp*.so*"), *folder.glob("libiomp*.so*")):
        try:
            function = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        else:
            function.argtypes, function.restype = [_BODY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
            return function
    return None


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


_teams = {"may run": True, "ran": False}
"""Of OpenMP, in this process."""


def _in_child() -> None:
    """A forked child inherits teams of threads and the pool, but not the threads, and would wait for ever:
    in torch's own operations too, unless they do without a team."""
    _pool.cache_clear()
    _teams["may run"] = False
    if _teams["ran"]:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def run(loop: Callable[[int, int], None], work: np.ndarray) -> None:
    """Calls `loop(low, high)` on ranges of equal work, as many as torch has threads.

    The threads are torch's own where its OpenMP can be called: those of a pool would share the cores with
    torch's, which wait for their next work by spinning.

    Args:
        loop: releases the interpreter's lock while it works.
        work: multiplications done before each item, cumulative, (items + 1,).
    """
    items, threads = len(work) - 1, torch.get_num_threads()
    if threads == 1 or work[-1] < _SMALL:
        loop(0, items)
        return
    cuts = np.searchsorted(work, np.linspace(0, work[-1], threads + 1))
    cuts[0], cuts[-1] = 0, items
    ranges = list(pairwise(cuts.tolist()))
    parallel = _openmp() if _teams["may run"] else None
    if parallel is None:
        tasks = [_pool(threads).submit(loop, low, high) for low, high in ranges]
        for task in tasks:
            task.result()
        return
    failures: list[BaseException] = []
    left = iter(ranges)  # one step of it is never shared between threads

    def body(_: int | None) -> None:
        try:
            for low, high in left:
                loop(low, high)
        except BaseException as failure:  # would be printed and forgotten here; raised below
            failures.append(failure)

    _teams["ran"] = True
    parallel(_BODY(body), None, threads, 0)
    if failures:
        raise failures[0]
