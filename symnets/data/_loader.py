"""Batches, and the loader that yields them in an order that depends only on seed and epoch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from symnets.data._tensor_pairs import TensorPairs
from symnets.data._workers import Workers
from symnets.device import on_device

if TYPE_CHECKING:
    from symnets.data._graph import AtomGraph

    Example = AtomGraph | tuple[AtomGraph | Tensor, Tensor]
else:  # loaders of tensors do not import torch_geometric, which takes a second
    Example = Any
"""A graph with its own labels, or a pair (input, target) of a graph or tensor and a tensor."""

_PAIR = TensorPairs.__getitem__  # examples of a subclass that replaces this method are taken one by one

TENSOR = "tensor "
"""Beginning of the names of a graph's fields with tensor labels: `tensor dipole` has the label dipole."""


class Labels(NamedTuple):
    """Labels of a batch of structures; NaN marks a missing label."""

    energy: Float[Tensor, " graphs"]
    """eV, float64."""
    forces: Float[Tensor, "atoms 3"] | None
    """eV/Å."""
    stress: Float[Tensor, "graphs 3 3"] | None
    """eV/Å³; NaN where `has_stress` is false."""
    owner: Int[Tensor, " atoms"]
    """Structure that each atom belongs to."""
    n_atoms: Int[Tensor, " graphs"]
    """Number of atoms of each structure."""
    tensors: Mapping[str, Tensor] | None = None
    """Tensor labels by name, (graphs, ...) or (atoms, ...), see `add_tensor_labels`."""
    weight: Float[Tensor, " graphs"] | None = None
    """Weight of each structure in the loss, float64; None for equal weights."""


def labels(graph: "AtomGraph") -> Labels:
    """Labels of a graph; a missing energy is NaN, missing forces and stress are None.

    The stress of a structure that has none is NaN whatever its label, see `has_stress`.
    """
    energy = graph.get("energy")
    if energy is None:
        energy = torch.full((graph.n_graphs,), torch.nan, dtype=torch.float64, device=graph.pos.device)
    stress = graph.get("stress")
    if stress is not None:
        stress = stress.where(graph.has_stress[:, None, None], torch.nan)
    keys = [key for key in graph.to_dict() if key.startswith(TENSOR)]
    tensors = {key.removeprefix(TENSOR): graph[key] for key in keys} or None
    forces, weight = graph.get("forces"), graph.get("weight")
    return Labels(energy, forces, stress, graph.owner, graph.n_atoms, tensors, weight)


class Batch(NamedTuple):
    """Inputs of a model and targets, as yielded by a `Loader`."""

    inputs: Any
    """A collated `AtomGraph`, or a tensor of shape (batch, ...)."""
    targets: Any
    """`Labels`, or a tensor of shape (batch, ...)."""

    @classmethod
    def of(cls, value: Any) -> "Batch":
        """Convert a pair (inputs, targets), a tuple or list, to a `Batch`; a `Batch` is returned as it is.

        Raises:
            ValueError: the value is something else, such as a dict or a data loader.
        """
        if isinstance(value, Batch):
            return value
        if not isinstance(value, tuple | list) or len(value) != 2:
            size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
            keys = f" with keys {', '.join(map(str, value))}" if isinstance(value, Mapping) else ""
            raise ValueError(
                f"batch: expected (inputs, targets), got a {type(value).__name__}{size}{keys}; pass "
                "Batch(inputs=..., targets=...)"
            )
        for part in value:
            if type(part).__module__ == "numpy":
                raise ValueError("batch: expected tensors or graphs, got a numpy array; use torch.from_numpy")
        return cls(*value)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on a device; copies to a GPU are asynchronous, from pinned memory.

        Raises:
            ValueError: inputs or targets contain something other than tensors and graphs.
        """
        to_gpu = torch.device(device).type == "cuda" and torch.cuda.is_available()

        def moved(field: Any) -> Any:
            if isinstance(field, Mapping):
                return {name: moved(part) for name, part in field.items()}
            if isinstance(field, tuple | list):
                parts = map(moved, field)
                return type(field)(*parts) if hasattr(field, "_fields") else type(field)(parts)
            if not hasattr(field, "to"):
                raise ValueError(f"batch: expected tensors or graphs, got a {type(field).__name__}")
            if to_gpu and not field.is_cuda:
                field = field.pin_memory()
            return field.to(device, non_blocking=to_gpu)

        targets = self.targets
        if isinstance(targets, Labels):
            fields = {name: moved(field) for name, field in targets._asdict().items() if field is not None}
            return Batch(moved(self.inputs), targets._replace(**fields))
        return Batch(moved(self.inputs), moved(targets))


class Loader:
    """Loader of batches of graphs or tensors, epoch by epoch.

    The order of epoch k is a function of (seed, k) only, so that a run resumed in the middle of an epoch gets
    the same batches as an uninterrupted one. No global random state is read or advanced.

    Args:
        examples: graphs, pairs (input, target) of tensors or of a graph and a tensor, see `collate`, or
            `TensorPairs`.
        batch_size: number of examples of a batch; the last batch of an epoch may be smaller.
        shuffle: whether each epoch has a new random order; if not, the examples keep their order.
        seed: seed of the random orders.
        part: (r, n) for process r, counted from 0, of n processes that train together: each batch is divided
            into n parts, and only part r is yielded. The parts of a batch differ in size by one example at
            most. A last batch of fewer than n examples has empty parts; in place of an empty part the first
            example of the batch is yielded, and its `share` is 0.
        workers: number of processes that take examples and collate batches ahead of their use; 0 for none.
            They help with sequences such as `GraphsOnDemand` that make an example when it is taken. Batches
            and their order do not depend on this number. Where Python does not fork processes, the sequence
            must be picklable. Ignored for `TensorPairs`.

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
        """Batches of epoch 0."""
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
    """Batch of the examples with the given indices."""
    return collate([examples[index] for index in rows])


def collate(examples: Sequence[Example]) -> Batch:
    """Join examples to a batch: graphs as PyG does, tensors stacked along a new first axis.

    In pairs (graph, target), targets of shape () (a class) or (dim,) are stacked; targets of shape
    (points, dim), with a row for each point of the graph, are concatenated.

    Raises:
        ValueError: no examples, examples of another kind, or targets with a wrong number of rows.
    """
    if len(examples) == 0:
        raise ValueError("examples: expected at least one, got none")
    if not isinstance(examples[0], tuple | list):
        graph = _joined(examples)
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
    """Several graphs joined to one by PyG."""
    if not hasattr(graphs[0], "to_dict"):
        raise ValueError(
            f"examples: expected graphs or pairs (input, target), got a {type(graphs[0]).__name__}"
        )
    import torch_geometric.data

    with on_device(graphs[0].pos.device):
        return torch_geometric.data.Batch.from_data_list(list(graphs))  # pyright: ignore


def split(n: int, sizes: Sequence[int] | Sequence[float], seed: int) -> list[NDArray[np.int64]]:
    """Split the indices 0 to n - 1 at random into disjoint sets.

    `split(500, (450, 50), seed=0)` returns 450 and 50 indices, and so does `split(500, (0.9, 0.1), seed=0)`.
    The sizes may add up to less than n; the other indices are not used. All sets are consecutive parts of one
    permutation: a larger first set with the same seed contains the smaller one.

    Args:
        n: number of indices.
        sizes: numbers of indices of the sets, or fractions of n.
        seed: seed of the permutation.

    Raises:
        ValueError: negative sizes, sizes that add up to more than n, or numbers mixed with fractions.
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
