"""Edges sorted by node, and edges paired with their reverses; computed once and shared by all layers."""

import weakref
from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, from_numpy

from symnets.ops._implementation import is_traced

T = TypeVar("T")


def cache_last(function: Callable[..., T]) -> Callable[..., T]:
    """Decorator that keeps the last result of a function of small tensors, numbers and tuples.

    Equal arguments return this result again. Tensors are compared by value with a copy, because
    torch's version counter does not record writes by numpy or in inference mode. On a GPU only torch writes
    to a tensor, and a comparison would synchronise: the same tensor with the same version counter is
    accepted there without a comparison. Nothing is kept within torch.func transforms and torch.compile.
    """
    last: tuple[list[_CachedArgument], T] | None = None

    @wraps(function)
    def call(*arguments: Any) -> T:
        nonlocal last
        if is_traced():
            return function(*arguments)
        if last is not None:
            cached, result = last
            if len(cached) == len(arguments) and all(map(_CachedArgument.equals, cached, arguments)):
                return result
        with torch.inference_mode(False):  # tensors made in inference mode cannot be used in training
            result = function(*arguments)
            last = [_CachedArgument(argument) for argument in arguments], result
        return result

    return call


class _CachedArgument:
    """A copy of an argument; on a GPU also a weak reference to the tensor, with its version counter."""

    def __init__(self, argument: Any) -> None:
        self._tensor: Callable[[], Tensor | None] = lambda: None
        self._version = -1
        if isinstance(argument, Tensor):
            self.value: Any = argument.detach().clone()
            self._store_version(argument)
        else:
            self.value = argument

    def equals(self, argument: Any) -> bool:
        """Whether an argument has the same value (for tensors also dtype and device)."""
        value = self.value
        if not (isinstance(value, Tensor) and isinstance(argument, Tensor)):
            return type(value) is type(argument) and value == argument
        if value.dtype != argument.dtype or value.device != argument.device:
            return False
        if self._tensor() is argument and argument._version == self._version:
            return True
        if not torch.equal(value, argument):
            return False
        self._store_version(argument)
        return True

    def _store_version(self, argument: Tensor) -> None:
        if argument.device.type != "cpu" and not argument.is_inference():
            self._tensor, self._version = weakref.ref(argument), argument._version


class Adjacency:
    """Edges sorted by receiver, by sender and by pair, in compressed (CSR) form.

    Args:
        sender: (edges,) sender of each edge.
        receiver: (edges,) receiver of each edge.
        pair: (edges,) row of weights of each edge.
        sizes: numbers of senders, receivers and pairs.
    """

    def __init__(
        self, sender: np.ndarray, receiver: np.ndarray, pair: np.ndarray, sizes: tuple[int, int, int]
    ) -> None:
        self.sender, self.receiver, self.pair = sender, receiver, pair
        self.n_senders, self.n_receivers, self.n_pairs = sizes

    def node_chunks(self, receivers: bool, n_edges: int) -> Iterator[tuple["Adjacency", Tensor]]:
        """Split the graph into ranges of consecutive nodes with all edges that end, or start, at them.

        Args:
            receivers: whether the nodes are receivers; if not, they are senders.
            n_edges: approximate number of edges of a chunk.

        Yields:
            the adjacency of a chunk, in which these nodes are numbered from 0 and each edge has its own row
            of weights, and the indices of its edges in the whole graph.
        """
        order, start = self.by_receiver if receivers else self.by_sender
        nodes_of_edges, low = self.receiver if receivers else self.sender, 0
        while low < len(start) - 1:
            high = max(low + 1, int(np.searchsorted(start, start[low] + n_edges, side="right")) - 1)
            chunk = order[start[low] : start[high]]
            nodes, pair = nodes_of_edges[chunk] - low, np.arange(len(chunk))
            if receivers:
                sizes = self.n_senders, high - low, len(chunk)
                yield Adjacency(self.sender[chunk], nodes, pair, sizes), from_numpy(chunk)
            else:
                sizes = high - low, self.n_receivers, len(chunk)
                yield Adjacency(nodes, self.receiver[chunk], pair, sizes), from_numpy(chunk)
            low = high

    @cached_property
    def by_receiver(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the edges sorted by receiver, and the position of each receiver's first edge."""
        return _compress(self.receiver, self.n_receivers)

    @cached_property
    def by_sender(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the edges sorted by sender, and the position of each sender's first edge."""
        return _compress(self.sender, self.n_senders)

    @cached_property
    def by_pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the edges sorted by pair, and the position of each pair's first edge."""
        return _compress(self.pair, self.n_pairs)


@cache_last
def adjacency(
    edge_index: Int[Tensor, "2 edges"], pair: Int[Tensor, " edges"] | None, sizes: tuple[int, int, int]
) -> Adjacency:
    """`Adjacency` of a graph; that of the last graph is cached.

    Args:
        edge_index: senders, then receivers.
        pair: row of weights of each edge; None if each edge has its own.
        sizes: numbers of senders, receivers and rows of weights.

    Raises:
        ValueError: a node or a row of weights is out of range.
    """
    # A copy: backward reads it after the caller may have changed the original.
    sender, receiver = edge_index.detach().numpy().copy()
    rows = np.arange(len(sender)) if pair is None else pair.detach().numpy().copy()
    for name, ends, n in (
        ("edge_index: expected nodes", sender, sizes[0]),
        ("edge_index: expected nodes", receiver, sizes[1]),
        ("pair: expected rows of weights", rows, sizes[2]),
    ):
        if ends.size and not 0 <= ends.min() <= ends.max() < n:
            raise ValueError(f"{name} 0 to {n - 1}, got {ends.min()} to {ends.max()}")
    return Adjacency(sender, receiver, rows, sizes)


def _compress(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the edges sorted by value (0 to n - 1), and the position of each value's first edge."""
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(values, minlength=n), out=start[1:])
    is_sorted = bool((values[1:] >= values[:-1]).all())
    return np.arange(len(values)) if is_sorted else np.argsort(values, kind="stable"), start


class Pairs(NamedTuple):
    """Pairs of an edge from j to i and its reverse from i to j, which have the same length.

    An edge without a reverse is a pair by itself.
    """

    pair: Int[Tensor, " edges"]
    """Index of the pair of each edge."""
    edge: Int[Tensor, " pairs"]
    """Index of one edge of each pair."""


@cache_last
def pairs(edge_index: Int[Tensor, "2 edges"], edge_shift: Float[Tensor, "edges 3"]) -> Pairs:
    """Pair each edge with its reverse, so that functions of the length are evaluated once for both.

    An edge without a reverse is a pair by itself, and so is every edge within torch.func transforms and
    torch.compile.

    Args:
        edge_index: senders, then receivers.
        edge_shift: whole numbers of cells, as in `AtomGraph`.
    """
    n_edges, device = edge_index.shape[1], edge_index.device
    edge = torch.arange(n_edges, device=device)
    if is_traced() or not n_edges:
        return Pairs(edge, edge)
    sender, receiver = edge_index
    shift = edge_shift.round().long()
    # One integer for (receiver, sender, shift) of each edge, and one for its reverse, whose shift is -shift.
    n, largest = edge_index.max() + 1, shift.abs().max()
    base = 2 * largest + 1
    shift_code = ((shift[:, 0] + largest) * base + shift[:, 1] + largest) * base + shift[:, 2] + largest
    n_shifts = base**3
    key = (receiver * n + sender) * n_shifts + shift_code
    reverse_key = (sender * n + receiver) * n_shifts + n_shifts - 1 - shift_code
    sorted_keys, order = key.sort(stable=True)
    position = torch.searchsorted(sorted_keys, reverse_key).clamp_(max=n_edges - 1)
    reverse = torch.where(sorted_keys[position] == reverse_key, order[position], edge)
    reverse = torch.where(reverse[reverse] == edge, reverse, edge)  # a second copy of an edge
    is_first = reverse >= edge
    return Pairs((is_first.cumsum(0) - 1)[torch.minimum(edge, reverse)], edge[is_first])
