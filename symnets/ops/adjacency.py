"""Adjacency: the edges of each node, made once for all layers that ask for them."""

import weakref
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Int
from torch import Tensor, from_numpy


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
        # A copy: the loops read it in backward too, when the caller may have overwritten his.
        found = cls(*edge_index.detach().numpy().copy(), n_senders, n_receivers)
        for ends, n in ((found.sender, n_senders), (found.receiver, n_receivers)):
            if ends.size and not 0 <= ends.min() <= ends.max() < n:
                raise ValueError(f"edge_index: expected nodes 0 to {n - 1}, got {ends.min()} to {ends.max()}")
        cls._last = weakref.ref(edge_index), _version(edge_index), found
        return found

    def __init__(self, sender: np.ndarray, receiver: np.ndarray, n_senders: int, n_receivers: int) -> None:
        self.sender, self.receiver = sender, receiver
        self.n_senders, self.n_receivers = n_senders, n_receivers

    def part(self, edges: slice) -> "Adjacency":
        """Some edges between all nodes."""
        return Adjacency(self.sender[edges], self.receiver[edges], self.n_senders, self.n_receivers)

    def nodes_in_turn(self, receivers: bool, n_edges: int) -> Iterator[tuple["Adjacency", Tensor]]:
        """Some nodes, with all edges they receive or send, then the next: a graph of these edges, where the
        nodes count from 0, and which edges they are.

        Args:
            receivers: whether nodes are receivers or senders.
            n_edges: about how many edges each time.
        """
        order, start = self.by_receiver if receivers else self.by_sender
        ends, low = self.receiver if receivers else self.sender, 0
        while low < len(start) - 1:
            high = max(low + 1, int(np.searchsorted(start, start[low] + n_edges, side="right")) - 1)
            chosen = order[start[low] : start[high]]
            mine = ends[chosen] - low
            if receivers:
                yield Adjacency(self.sender[chosen], mine, self.n_senders, high - low), from_numpy(chosen)
            else:
                yield Adjacency(mine, self.receiver[chosen], high - low, self.n_receivers), from_numpy(chosen)
            low = high

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
