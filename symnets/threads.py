"""Threads for compiled loops: each takes a range of equal work."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch

# Fewer multiplications than this are not worth a second thread.
_SMALL = 2_000_000


@lru_cache(maxsize=1)
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


# A forked child inherits the pool but not its threads, and would wait for them for ever.
os.register_at_fork(after_in_child=_pool.cache_clear)


def run(loop: Callable[[int, int], None], work: np.ndarray) -> None:
    """Calls `loop(low, high)` on ranges of equal work, as many as torch has threads.

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
    tasks = [_pool(threads).submit(loop, int(low), int(high)) for low, high in pairwise(cuts)]
    for task in tasks:
        task.result()
