"""TensorPairs: examples that stand side by side in two tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch
from torch import Generator, Tensor

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
