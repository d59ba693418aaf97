"""Loader: batches in an order that depends on the seed and the epoch alone."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch_geometric.data
from torch import Tensor

from symnets.data.graph import AtomGraph, Labels, labels
from symnets.data.tensor_pairs import TensorPairs

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
