"""Adjacency: the edges of each node, made once for all layers that ask for them."""

import weakref
from functools import cached_property

import numpy as np
from jaxtyping import Int
from torch import Tensor


class Adjacency:
    """Edges of each node, as receiver and as sender, in compressed form."""

    _last: "tuple[weakref.ref[Tensor], int, Adjacency] | None" = None

    @classmethod
    def of(cls, edge_index: Int[Tensor, "2 edges"], n_senders: int, n_receivers: int) -> "Adjacency":
        """The adjacency of a graph; that of the last graph asked for is kept.

        The layers of a network ask for the same, one after another. It is known by the tensor itself, and
        by how often that was written to.
        """
        if cls._last is not None:
            last, version, found = cls._last
            sizes = (found.n_senders, found.n_receivers)
            if last() is edge_index and version == _version(edge_index) and sizes == (n_senders, n_receivers):
                return found
        found = cls(edge_index, n_senders, n_receivers)
        cls._last = weakref.ref(edge_index), _version(edge_index), found
        return found

    def __init__(self, edge_index: Int[Tensor, "2 edges"], n_senders: int, n_receivers: int) -> None:
        # A copy: the loops read it in backward too, when the caller may have overwritten his.
        self.sender, self.receiver = edge_index.detach().numpy().copy()
        self.n_senders, self.n_receivers = n_senders, n_receivers
        for ends, n in ((self.sender, n_senders), (self.receiver, n_receivers)):
            if ends.size and not 0 <= ends.min() <= ends.max() < n:
                raise ValueError(f"edge_index: expected nodes 0 to {n - 1}, got {ends.min()} to {ends.max()}")

    @cached_property
    def by_receiver(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their receiver, and where each receiver's edges start."""
        return _compress(self.receiver, self.n_receivers)

    @cached_property
    def by_sender(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their sender, and where each sender's edges start."""
        return _compress(self.sender, self.n_senders)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _compress(ends: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=n), out=start[1:])
    in_order = bool((ends[1:] >= ends[:-1]).all())
    return np.arange(len(ends)) if in_order else np.argsort(ends, kind="stable"), start
