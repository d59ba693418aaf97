"""TensorPairs: examples that stand side by side in two tensors.

Seeded splits of a data set.

Loader: batches in an order that depends on the seed and the epoch alone.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, overload

import numpy as np
import torch
import torch_geometric.data
from numpy.typing import NDArray
from torch import Generator, Tensor

from symnets.data._graph import AtomGraph, Labels, labels

Transform = Callable[[Tensor, Generator], Tensor]
"""(inputs of a batch, generator on the CPU) -> inputs, as many; draws from the generator alone."""


@dataclass(frozen=True, eq=False)
class TensorPairs(Sequence[tuple[Tensor, Tensor]]):
    """Pairs (inputs[i], targets[i]), of which a `Loader` takes a batch by one index operation.

    A loader gives the same batches, in the same order, as it does for the list of the pairs. If there
    is a transform, it is applied to the inputs of every batch; the generator it is given depends on the
    loader's seed, the epoch and the number of the batch alone, so that a training that is resumed sees
    what it would have seen. Single pairs are never transformed.

    Args:
        inputs: of shape (n, ...).
        targets: of shape (n, ...).
        transform: such as a random deformation of images.

    Raises:
        ValueError: not as many inputs as targets.
    """

    inputs: Tensor
    targets: Tensor
    transform: Transform | None = None

    def __post_init__(self) -> None:
        shapes = tuple(self.inputs.shape), tuple(self.targets.shape)
        if not shapes[0] or not shapes[1] or shapes[0][0] != shapes[1][0]:
            raise ValueError(
                "inputs, targets: expected as many rows of one as of the other, "
                f"got shapes {shapes[0]} and {shapes[1]}"
            )

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]: ...
    @overload
    def __getitem__(self, index: slice) -> "TensorPairs": ...
    def __getitem__(self, index: int | slice) -> "tuple[Tensor, Tensor] | TensorPairs":
        """One pair, or for a slice those pairs with the same transform."""
        if isinstance(index, slice):
            return replace(self, inputs=self.inputs[index], targets=self.targets[index])
        return self.inputs[index], self.targets[index]

    def batch(self, rows: Sequence[int], generator: Callable[[], Generator]) -> tuple[Tensor, Tensor]:
        """Inputs, transformed if there is a transform, and targets of some rows.

        Args:
            rows: their numbers.
            generator: makes the transform's source of random numbers; not called without a transform.

        Raises:
            ValueError: the transform returned another number of inputs.
        """
        index = torch.as_tensor(rows)
        inputs, targets = (
            part[index.to(part.device, non_blocking=True)] for part in (self.inputs, self.targets)
        )
        if self.transform is not None:
            inputs = self.transform(inputs, generator())
            if len(inputs) != len(rows):
                raise ValueError(f"transform: expected {len(rows)} inputs back, got {len(inputs)}")
        return inputs, targets


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


Example = AtomGraph | tuple[Tensor, Tensor]
"""A labelled graph, or a pair (input, target)."""


class Batch(NamedTuple):
    """What a loader yields: the inputs of a model, and what it should answer."""

    inputs: Any
    """A collated `AtomGraph`, or a tensor of shape (batch, ...)."""
    targets: Any
    """`Labels`, or a tensor of shape (batch, ...)."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device; on its way to a GPU, through pinned memory, nothing waits for it."""
        to_gpu = torch.device(device).type == "cuda" and torch.cuda.is_available()

        def moved(field: Any) -> Any:
            if to_gpu and not field.is_cuda:
                field = field.pin_memory()
            return field.to(device, non_blocking=to_gpu)

        targets = self.targets
        if isinstance(targets, Labels):
            fields = {name: moved(field) for name, field in targets._asdict().items() if field is not None}
            return Batch(moved(self.inputs), targets._replace(**fields))
        return Batch(moved(self.inputs), moved(targets))


class Loader:
    """Batches of examples, epoch after epoch.

    The order of epoch k is a pure function of (seed, k): nothing else, not even the batches drawn
    before, changes it, so that a run resumed in the middle of an epoch sees what it would have seen.
    No global random state is read or advanced.

    Args:
        examples: graphs, or pairs (input, target) of tensors; of `TensorPairs` a batch is one
            index operation, and may be transformed.
        batch_size: examples a batch; the last batch of an epoch holds what remains.
        shuffle: draw a new order every epoch; otherwise the order given.
        seed: of the orders.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        if len(examples) == 0:
            raise ValueError("examples: expected at least one, got none")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if seed < 0:
            raise ValueError(f"seed: expected a number >= 0, got {seed}")
        self.examples, self.batch_size, self.shuffle, self.seed = examples, batch_size, shuffle, seed

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        return math.ceil(len(self.examples) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Epoch 0."""
        return self.epoch(0)

    def order(self, number: int) -> list[int]:
        """Indices of the examples in the order of an epoch."""
        if not self.shuffle:
            return list(range(len(self.examples)))
        generator = _generator(np.random.SeedSequence([self.seed, number]))
        return torch.randperm(len(self.examples), generator=generator).tolist()

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start + 1`, ... of an epoch; those before are not collated."""
        order = self.order(number)
        for batch in range(start, len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            if isinstance(self.examples, TensorPairs):
                yield Batch(*self.examples.batch(rows, partial(self.generator, number, batch)))
            else:
                yield collate([self.examples[index] for index in rows])

    def generator(self, number: int, batch: int) -> torch.Generator:
        """What the transform of a batch draws from: a function of seed, epoch and batch alone, on the CPU."""
        # As a spawn key: entropy [seed, number, 0] would be [seed, number], that of the order.
        return _generator(np.random.SeedSequence([self.seed, number], spawn_key=(batch,)))


def _generator(seed: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1)))


def collate(examples: Sequence[Example]) -> Batch:
    """Joins examples: graphs side by side as PyG does, tensors stacked along a new first axis."""
    if isinstance(examples[0], AtomGraph):
        graph: Any = torch_geometric.data.Batch.from_data_list(list(examples))  # pyright: ignore
        return Batch(graph, labels(graph))
    inputs, targets = zip(*examples, strict=True)  # pyright: ignore
    return Batch(torch.stack(inputs), torch.stack(targets))
