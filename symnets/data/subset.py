"""Nested balanced subsets of a labelled set."""

import numpy as np
import torch
from jaxtyping import Int64, Shaped
from torch import Tensor


def subset(labels: Shaped[Tensor, "points"], n: int, seed: int) -> Int64[Tensor, "{n}"]:
    """Indices of n examples, classes in turn, each class in a random order of its own.

    With C classes, example k of the subset is of class k mod C (in ascending order of the labels). So the
    numbers of any two classes differ by one at most, and are equal where n is a multiple of C. The orders
    depend on the seed alone: `subset(labels, n, seed)` is the beginning of `subset(labels, m, seed)` for
    every m > n, and a learning curve over n only ever adds examples.

    Raises:
        ValueError: n is more than there is, in the whole set or in one of the classes.
    """
    values = labels.detach().cpu().numpy()
    if not 0 <= n <= len(values):
        raise ValueError(f"n: expected 0 to {len(values)}, the number of examples, got {n}")
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    classes = np.unique(values)
    turns = np.empty((-(-n // max(len(classes), 1)), len(classes)), dtype=np.int64)
    for k, label in enumerate(classes):
        members = np.flatnonzero(values == label)
        wanted = len(range(k, n, len(classes)))
        if wanted > len(members):
            raise ValueError(
                f"n: {n} balanced examples need {wanted} of class {label:g}, which has {len(members)}; "
                f"expected at most {largest(values)}"
            )
        order = np.random.default_rng([seed, k]).permutation(members)
        turns[:wanted, k] = order[:wanted]
    return torch.from_numpy(turns.reshape(-1)[:n].copy()).to(labels.device)


def largest(values: np.ndarray) -> int:
    """The size of the largest balanced subset."""
    _, counts = np.unique(values, return_counts=True)
    # The smallest class is the first to run out; those before it in the order have had one turn more.
    return int(counts.min() * len(counts) + counts.argmin())
