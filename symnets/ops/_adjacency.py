"""Results that several layers ask for, one after another.

Adjacency: the edges of each node, made once for all layers that ask for them.

Pairs: edges there and back have one length, and all that depends on it is computed once.
"""

import weakref
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, from_numpy

from symnets.ops._implementation import transformed

T = TypeVar("T")


def remembered(make: Callable[..., T]) -> Callable[..., T]:
    """A function of small tensors, numbers and tuples that keeps its last result.

    Arguments are compared by value, tensors with a copy: torch does not know of what numpy, or inference
    mode, writes into one. On a GPU nothing but torch writes into a tensor, and a comparison would wait for
    all that was asked of the GPU before: there the same tensor, unwritten since, is not compared again.
    """
    last: tuple[list[_Held], T] | None = None

    def call(*arguments: Any) -> T:
        nonlocal last
        if transformed():
            return make(*arguments)
        held = last
        if held is not None and len(held[0]) == len(arguments) and all(map(_Held.equals, held[0], arguments)):
            return held[1]
        with torch.inference_mode(False):  # a later training may use it too
            result = make(*arguments)
            last = [_Held(argument) for argument in arguments], result
        return result

    return call


class _Held:
    """An argument as it was: a copy of a tensor, and on a GPU which tensor that was and how often written."""

    def __init__(self, argument: Any) -> None:
        self._tensor: Callable[[], Tensor | None] = lambda: None
        self._version = -1
        if isinstance(argument, Tensor):
            self.value: Any = argument.detach().clone()
            self._recognise(argument)
        else:
            self.value = argument

    def equals(self, argument: Any) -> bool:
        held = self.value
        if not (isinstance(held, Tensor) and isinstance(argument, Tensor)):
            return type(held) is type(argument) and held == argument
        if held.dtype != argument.dtype or held.device != argument.device:
            return False
        if self._tensor() is argument and argument._version == self._version:
            return True
        if not torch.equal(held, argument):
            return False
        self._recognise(argument)
        return True

    def _recognise(self, argument: Tensor) -> None:
        if argument.device.type != "cpu" and not argument.is_inference():
            self._tensor, self._version = weakref.ref(argument), argument._version


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


class Pairs(NamedTuple):
    """Edges of equal length, from j to i and from i to j, taken together."""

    of_edge: Int[Tensor, " edges"]
    """The pair of each edge."""
    edge: Int[Tensor, " pairs"]
    """One edge of each pair."""


@remembered
def pairs(edge_index: Int[Tensor, "2 edges"], edge_shift: Float[Tensor, "edges 3"]) -> Pairs:
    """The pairs of a graph; an edge without its reverse is a pair by itself."""
    n_edges, device = edge_index.shape[1], edge_index.device
    number = torch.arange(n_edges, device=device)
    if transformed() or not n_edges:
        return Pairs(number, number)
    sender, receiver = edge_index
    shift = edge_shift.round().long()
    # One number for sender, receiver and shift, and that of the reverse edge, whose shift is the opposite.
    n, most = edge_index.max() + 1, shift.abs().max()
    base = 2 * most + 1
    code = ((shift[:, 0] + most) * base + shift[:, 1] + most) * base + shift[:, 2] + most
    size = base**3
    forth, back = (receiver * n + sender) * size + code, (sender * n + receiver) * size + size - 1 - code
    ordered, order = forth.sort(stable=True)
    place = torch.searchsorted(ordered, back).clamp_(max=n_edges - 1)
    other = torch.where(ordered[place] == back, order[place], number)
    other = torch.where(other[other] == number, other, number)  # an edge that is listed twice
    first = other >= number
    return Pairs((first.cumsum(0) - 1)[torch.minimum(number, other)], number[first])
