"""Rows: which of several deformations are meant by an index."""

from collections.abc import Sequence
from operator import index as whole

import torch
from torch import Tensor

Index = int | slice | Tensor | Sequence[int]
"""One, a range, or any of several, by number or by a mask."""


def as_rows(index: Index, n: int, device: torch.device) -> slice | Tensor | list[int]:
    """An index that keeps the axis of the batch: one deformation is a batch of one.

    A tensor of numbers, or a mask, is brought to `device`, that of what is indexed.

    Raises:
        IndexError: a number that none of the n has.
    """
    if isinstance(index, slice):
        return index
    if isinstance(index, Tensor):
        return (index.reshape(-1) if index.ndim == 0 else index).to(device)
    if isinstance(index, Sequence):
        return list(index)
    one = whole(index)
    if not -n <= one < n:
        raise IndexError(f"index: expected -{n} to {n - 1}, for {n} deformations, got {one}")
    return slice(one % n, one % n + 1)
