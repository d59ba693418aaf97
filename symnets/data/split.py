"""Seeded splits of a data set."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def split(n: int, sizes: Sequence[int] | Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Disjoint random sets of indices below n.

    `split(500, (450, 50), seed=0)` gives 450 and 50 indices; `split(500, (0.9, 0.1), seed=0)` the same
    numbers of them. The sizes may add up to less than n: the rest is not used. The permutation is drawn
    once, so growing the first set of two splits with the same seed only adds to it.

    Raises:
        ValueError: negative sizes, or more than there is.
    """
    if all(isinstance(size, float) for size in sizes):
        if sum(sizes) > 1 + 1e-9:
            raise ValueError(f"sizes: fractions must add up to at most 1, got {tuple(sizes)}")
        edges = np.rint(np.cumsum([0.0, *sizes]) * n).astype(int)
    elif all(isinstance(size, int | np.integer) for size in sizes):
        edges = np.cumsum([0, *sizes])
    else:
        raise ValueError(f"sizes: expected all whole numbers or all fractions, got {tuple(sizes)}")
    if min(sizes, default=0) < 0 or edges[-1] > n:
        raise ValueError(f"sizes: cannot take {tuple(sizes)} out of {n} examples")
    order = np.random.default_rng(seed).permutation(n)
    return [order[first:last] for first, last in pairwise(edges)]
