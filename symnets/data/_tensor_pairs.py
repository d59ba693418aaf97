"""TensorPairs: a data set held in two tensors, inputs and targets, with a random transform of the inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch
from torch import Generator, Tensor

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
        inputs: inputs of the n examples, (n, ...).
        targets: targets of the n examples, (n, ...).
        transform: function (inputs, generator) -> inputs, for example a random deformation of images.

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
