"""A matrix over the parameters of a dense net, seen as blocks of pairs of layers."""

from itertools import product
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from symnets.models.dense import Dense

ALL = slice(None)


class Slot(NamedTuple):
    """Where the weights or the biases of a layer are."""

    parameters: slice
    """Among all parameters, in the order of `model.parameters()`."""
    shape: tuple[int, int]
    """(units, inputs); (units, 1) for biases."""
    inputs: slice
    """Among the inputs of the layer, of which the last is the 1 that biases multiply."""


class LayerBlocks:
    """Adds to the lower half of a symmetric matrix by layer, unit and input.

    Args:
        matrix: of a single net; only its lower half is written.
        model: the net.
    """

    def __init__(self, matrix: Float[Tensor, "N N"], model: Dense) -> None:
        self.matrix = matrix
        self.slots: list[list[Slot]] = []
        start = 0
        for w in model.weights:
            units, inputs = w.shape[-2:]
            self.slots.append([Slot(slice(start, start + units * inputs), (units, inputs), slice(0, inputs))])
            start += units * inputs
        for slots, b in zip(self.slots, model.biases, strict=False):
            units, inputs = b.shape[-1], slots[0].shape[1]
            slots.append(Slot(slice(start, start + units), (units, 1), slice(inputs, inputs + 1)))
            start += units

    def add(self, high: int, low: int, values: Float[Tensor, "p q i j"], units: slice = ALL) -> None:
        """Block of layers high >= low: (some) units of the one with their inputs, and of the other.

        A layer with itself (units must be given) is symmetric: i may end where `units` ends.
        """
        for row, column in product(self.slots[high], self.slots[low]):
            if row.inputs.start >= values.shape[1]:
                continue
            part = values[:, row.inputs, :, column.inputs]
            if high == low and row.inputs.start < column.inputs.start:  # of the transposed biases what lacks
                part = part[:, :, : units.start]
            self._view(row, column)[units, :, : part.shape[2]] += part

    def add_same_unit(self, low: int, values: Float[Tensor, "p j i"]) -> None:
        """Block of layers low + 1 and low that vanishes unless input q of the one is unit i of the other."""
        for column in self.slots[low]:
            diagonal = self._view(self.slots[low + 1][0], column).diagonal(dim1=1, dim2=2)
            diagonal += values[:, column.inputs]

    def add_alone(self, layer: int, values: Float[Tensor, "p q j"]) -> None:
        """Block of a layer with itself that vanishes unless both units are the same."""
        for row, column in product(self.slots[layer], self.slots[layer]):
            if row.inputs.start >= column.inputs.start:  # the transpose is one of these
                diagonal = self._view(row, column).diagonal(dim1=0, dim2=2)
                diagonal += values[:, row.inputs, column.inputs].permute(1, 2, 0)

    def _view(self, row: Slot, column: Slot) -> Float[Tensor, "p q i j"]:
        if row.parameters.start >= column.parameters.start:
            block = self.matrix[row.parameters, column.parameters]
        else:
            block = self.matrix[column.parameters, row.parameters].T
        return block.unflatten(1, column.shape).unflatten(0, row.shape)
