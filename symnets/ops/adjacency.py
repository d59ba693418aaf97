"""Adjacency: the edges of each node, made once for all layers that ask for them."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from jaxtyping import Int
from torch import Tensor, from_numpy

from symnets.ops.remembered import remembered


class Adjacency:
    """Edges of each node, as receiver and as sender, and of each pair that shares weights, compressed.

    Args:
        sender: of each edge.
        receiver: of each edge.
        pair: of each edge, its row of weights.
        sizes: how many senders, receivers and pairs there are.
    """

    def __init__(
        self, sender: np.ndarray, receiver: np.ndarray, pair: np.ndarray, sizes: tuple[int, int, int]
    ) -> None:
        self.sender, self.receiver, self.pair = sender, receiver, pair
        self.n_senders, self.n_receivers, self.n_pairs = sizes

    def nodes_in_turn(self, receivers: bool, n_edges: int) -> Iterator[tuple["Adjacency", Tensor]]:
        """Some nodes, with all edges they receive or send, then the next: a graph of these edges, where the
        nodes count from 0 and each edge is a pair, and which edges they are.

        Args:
            receivers: whether nodes are receivers or senders.
            n_edges: about how many edges each time.
        """
        order, start = self.by_receiver if receivers else self.by_sender
        ends, low = self.receiver if receivers else self.sender, 0
        while low < len(start) - 1:
            high = max(low + 1, int(np.searchsorted(start, start[low] + n_edges, side="right")) - 1)
            chosen = order[start[low] : start[high]]
            mine, alone = ends[chosen] - low, np.arange(len(chosen))
            if receivers:
                sizes = self.n_senders, high - low, len(chosen)
                yield Adjacency(self.sender[chosen], mine, alone, sizes), from_numpy(chosen)
            else:
                sizes = high - low, self.n_receivers, len(chosen)
                yield Adjacency(mine, self.receiver[chosen], alone, sizes), from_numpy(chosen)
            low = high

    @cached_property
    def by_receiver(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their receiver, and where each receiver's edges start."""
        return _compress(self.receiver, self.n_receivers)

    @cached_property
    def by_sender(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their sender, and where each sender's edges start."""
        return _compress(self.sender, self.n_senders)

    @cached_property
    def by_pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in the order of their pair, and where each pair's edges start."""
        return _compress(self.pair, self.n_pairs)


@remembered
def adjacency(
    edge_index: Int[Tensor, "2 edges"], pair: Int[Tensor, " edges"] | None, sizes: tuple[int, int, int]
) -> Adjacency:
    """The adjacency of a graph.

    Args:
        edge_index: senders, then receivers.
        pair: of each edge, its row of weights; None where each has its own.
        sizes: how many senders, receivers and rows of weights there are.
    """
    # A copy: the loops read it in backward too, when the caller may have overwritten his.
    sender, receiver = edge_index.detach().numpy().copy()
    rows = np.arange(len(sender)) if pair is None else pair.detach().numpy().copy()
    for name, ends, n in (
        ("edge_index: expected nodes", sender, sizes[0]),
        ("edge_index: expected nodes", receiver, sizes[1]),
        ("pairs: expected rows of weights", rows, sizes[2]),
    ):
        if ends.size and not 0 <= ends.min() <= ends.max() < n:
            raise ValueError(f"{name} 0 to {n - 1}, got {ends.min()} to {ends.max()}")
    return Adjacency(sender, receiver, rows, sizes)


def _compress(ends: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(ends, minlength=n), out=start[1:])
    in_order = bool((ends[1:] >= ends[:-1]).all())
    return np.arange(len(ends)) if in_order else np.argsort(ends, kind="stable"), start
