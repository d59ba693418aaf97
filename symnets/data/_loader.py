"""Loader of batches whose order depends only on seed and epoch, data sets of tensors, and random splits."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from symnets.data._batch import Batch
from symnets.data._workers import Workers
from symnets.device import on_device

if TYPE_CHECKING:
    from symnets.data._graph import AtomGraph

    Example = AtomGraph | tuple[AtomGraph | Tensor, Tensor]
else:  # loaders of tensors do without importing torch_geometric, which takes a second
    Example = Any
"""A graph with its own labels, or a pair (input, target) of a graph or tensor and a tensor."""

Transform = Callable[[Tensor, Generator], Tensor]
"""(inputs of a batch, random generator on the CPU) -> the same number of transformed inputs."""


@dataclass(frozen=True, eq=False)
class TensorPairs(Sequence[tuple[Tensor, Tensor]]):
    """Sequence of examples (inputs[i], targets[i]) held in two tensors.

    A `Loader` takes a batch by one index operation; batches and their order are the same as for a list of the
    pairs. The transform, if any, is applied to the inputs of each batch. Its random generator depends only on
    the loader's seed, the epoch and the number of the batch, so that a resumed training gets the same inputs
    as an uninterrupted one. Examples taken by index are not transformed.

    Args:
        inputs: of shape (n, ...).
        targets: of shape (n, ...).
        transform: for example a random deformation of images.

    Raises:
        ValueError: different numbers of inputs and targets.
    """

    inputs: Tensor
    targets: Tensor
    transform: Transform | None = None

    def __post_init__(self) -> None:
        shapes = tuple(self.inputs.shape), tuple(self.targets.shape)
        if not shapes[0] or not shapes[1] or shapes[0][0] != shapes[1][0]:
            raise ValueError(
                f"inputs, targets: expected the same number of rows, got shapes {shapes[0]} and {shapes[1]}"
            )

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def __getitem__(self, index: slice) -> "TensorPairs": ...
    def __getitem__(self, index: int | slice) -> "tuple[Tensor, Tensor] | TensorPairs":
        """One example; for a slice, these examples with the same transform."""
        if isinstance(index, slice):
            return replace(self, inputs=self.inputs[index], targets=self.targets[index])
        return self.inputs[index], self.targets[index]

    def batch(self, rows: Sequence[int], generator: Callable[[], Generator]) -> tuple[Tensor, Tensor]:
        """Inputs of some rows, transformed if there is a transform, and their targets.

        Args:
            rows: numbers of the rows.
            generator: function that returns the transform's random generator; not called without a transform.

        Raises:
            ValueError: the transform returned another number of inputs.
        """
        index = torch.as_tensor(rows, device="cpu")
        inputs, targets = (
            part[index.to(part.device, non_blocking=True)] for part in (self.inputs, self.targets)
        )
        if self.transform is not None:
            inputs = self.transform(inputs, generator())
            if len(inputs) != len(rows):
                raise ValueError(f"transform: expected {len(rows)} inputs back, got {len(inputs)}")
        return inputs, targets


_PAIR = TensorPairs.__getitem__  # a subclass with another one is taken example by example


def split(n: int, sizes: Sequence[int] | Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Split the indices 0 to n - 1 at random into disjoint sets.

    `split(500, (450, 50), seed=0)` returns 450 and 50 indices, and so does `split(500, (0.9, 0.1), seed=0)`.
    The sizes may add up to less than n; the other indices are not used. All sets are consecutive parts of one
    permutation: a larger first set with the same seed contains the smaller one.

    Raises:
        ValueError: negative sizes, or sizes that add up to more than n.
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


class Loader:
    """Loader of batches of graphs or tensors, epoch by epoch.

    The order of epoch k is a function of (seed, k) only, so that a run resumed in the middle of an epoch gets
    the same batches as an uninterrupted one. No global random state is read or advanced.

    Args:
        examples: graphs, pairs (input, target) of tensors or of a graph and a tensor, see `collate`, or
            `TensorPairs`.
        batch_size: number of examples of a batch; the last batch of an epoch may be smaller.
        shuffle: whether each epoch has a new random order; if not, the examples keep their order.
        seed: of the random orders.
        part: (r, n) to yield only part r, from 0, of n of each batch, in process r of n that train together.
            The parts of a batch differ in size by one example at most. A last batch of fewer than n examples
            has empty parts; in place of an empty part the first example of the batch is yielded, and its
            `share` is 0.
        workers: number of processes that take the examples and collate batches ahead, for sequences such as
            `GraphsOnDemand` that make an example when it is taken; 0 for none. Batches and their order do not
            depend on it. Where Python does not fork processes, the sequence must be picklable. Ignored for
            `TensorPairs`.

    Raises:
        ChildProcessError: a worker ended.
        ValueError: no examples, batch_size below 1 or below the number of parts, or a negative seed.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        part: tuple[int, int] = (0, 1),
        workers: int = 0,
    ) -> None:
        if len(examples) == 0:
            raise ValueError("examples: expected at least one, got none")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed: expected a number >= 0, got {seed}")
        if batch_size < part[1]:
            raise ValueError(
                f"batch_size: expected at least {part[1]}, one example for each process, got {batch_size}"
            )
        self.examples, self.batch_size, self.shuffle, self.seed = examples, batch_size, shuffle, seed
        self.part, self.workers = part, workers
        self._pool: Workers | None = None

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Epoch 0."""
        return self.epoch(0)

    def order(self, number: int) -> list[int]:
        """Indices of the examples in the order of an epoch, given by its number."""
        if not self.shuffle:
            return list(range(len(self.examples)))
        generator = _generator(np.random.SeedSequence([self.seed, number]))
        return torch.randperm(len(self.examples), generator=generator, device="cpu").tolist()

    def share(self, batch: int) -> float:
        """Fraction of the examples of a batch that are in the part of this loader."""
        size = min(self.batch_size, len(self.examples) - batch * self.batch_size)
        first, last = self._own(size)
        return (last - first) / size

    def _own(self, size: int) -> tuple[int, int]:
        """First index, and last index plus one, of this loader's part of a batch of some size."""
        own, parts = self.part
        return size * own // parts, size * (own + 1) // parts

    def _rows(self, order: Sequence[int], batch: int) -> Sequence[int]:
        """Indices of the examples in this loader's part of a batch; the first of the batch if it is empty."""
        rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
        first, last = self._own(len(rows))
        return rows[first:last] or rows[:1]

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, ... of an epoch, or this loader's parts of them."""
        order = self.order(number)
        at_once = isinstance(self.examples, TensorPairs) and type(self.examples).__getitem__ is _PAIR
        if self.workers and not at_once:
            if self._pool is None:
                self._pool = Workers(partial(_collated, self.examples), self.workers)
            yield from self._pool.map([self._rows(order, batch) for batch in range(start, len(self))])
            return
        for batch in range(start, len(self)):
            rows = self._rows(order, batch)
            if isinstance(self.examples, TensorPairs) and at_once:
                yield Batch(*self.examples.batch(rows, partial(self.generator, number, batch)))
            else:
                yield _collated(self.examples, rows)

    def generator(self, number: int, batch: int) -> torch.Generator:
        """Random generator of the transform of a batch, on the CPU; a function of seed, epoch and batch."""
        # The batch is a spawn key because entropy [seed, number, 0] equals [seed, number], that of the order.
        return _generator(np.random.SeedSequence([self.seed, number], spawn_key=(batch,)))


def _generator(seed: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def _collated(examples: Sequence[Example], rows: Sequence[int]) -> Batch:
    """The batch of some rows."""
    return collate([examples[index] for index in rows])


def collate(examples: Sequence[Example]) -> Batch:
    """Join examples to a batch: graphs as PyG does, tensors stacked along a new first axis.

    In pairs (graph, target), targets of shape () (a class) or (dim,) are stacked; targets of shape
    (points, dim), with a row for each point of the graph, are concatenated.

    Raises:
        ValueError: examples of another kind, or targets of points for another number of points.
    """
    if not isinstance(examples[0], tuple | list):
        graph = _joined(examples)

        from symnets.data._graph import labels

        return Batch(graph, labels(graph))
    kinds = [type(part).__name__ for part in examples[0]]
    pair = len(kinds) == 2 and isinstance(examples[0][1], Tensor)
    if not pair or not (isinstance(examples[0][0], Tensor) or hasattr(examples[0][0], "to_dict")):
        raise ValueError(
            f"examples: expected pairs (input, target) of tensors, got ({', '.join(kinds)}); use "
            "TensorPairs(inputs, targets), or pairs of a graph and a tensor"
        )
    inputs, targets = zip(*examples, strict=True)  # pyright: ignore
    if isinstance(inputs[0], Tensor):
        return Batch(torch.stack(inputs), torch.stack(targets))
    if targets[0].ndim < 2:
        return Batch(_joined(inputs), torch.stack(targets))
    for graph, target in zip(inputs, targets, strict=True):
        if len(target) != len(graph.pos):
            raise ValueError(
                f"examples: expected a target of shape (), (dim,) or (points, dim) with "
                f"points={len(graph.pos)}, got {tuple(target.shape)}"
            )
    return Batch(_joined(inputs), torch.cat(targets))


def _joined(graphs: Sequence[Any]) -> Any:
    """One graph of several, as PyG joins them."""
    if not hasattr(graphs[0], "to_dict"):
        raise ValueError(
            f"examples: expected graphs or pairs (input, target), got a {type(graphs[0]).__name__}"
        )
    import torch_geometric.data

    with on_device(graphs[0].pos.device):
        return torch_geometric.data.Batch.from_data_list(list(graphs))  # pyright: ignore
