"""MLP: fully connected network on scalars that keeps unit variance through its layers."""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.native import Activate, Matrix, Program, matrix_product

SILU_NORM = 1.6791767923989418
"""Factor c for which c silu(z), z ~ N(0, 1), has unit second moment: e3nn's `normalize2mom`."""


class MLP(nn.Module):
    """Fully connected network on scalars, without biases:

        h ← c · silu(n_in^(-1/2) h W),     W ~ N(0, 1),

    with a last layer n_in^(-1/2) h W, and c = `SILU_NORM`, for which <(c silu(z))²> = 1. This is
    `e3nn.nn.FullyConnectedNet` with silu.

    Args:
        *sizes: numbers of inputs, of units of each hidden layer, and of outputs.
    """

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(n, m)) for n, m in itertools.pairwise(sizes))

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        """Outputs of the network."""
        hidden, matrix = self.last_layer(x)
        return hidden @ matrix

    def last_layer(
        self, x: Float[Tensor, "n inputs"]
    ) -> tuple[Float[Tensor, "n hidden"], Float[Tensor, "hidden outputs"]]:
        """Input and matrix of the last layer, whose product is the output."""
        gain = 1.0
        for i, weight in enumerate(self.weights):
            matrix = weight * (gain * weight.shape[0] ** -0.5)
            if i == len(self.weights) - 1:
                return x, matrix
            x, gain = nn.functional.silu(x @ matrix), SILU_NORM
        raise AssertionError("a network has layers")

    def lower(self, program: Program, x: Matrix) -> Matrix:
        """Outputs of the network in a native program."""
        if x.table is not None:
            return program.lookup(self(x.table))
        gain = 1.0
        for i, weight in enumerate(self.weights):
            if i:
                hidden = Activate(program, x, "silu")
                program.add(hidden)
                x, gain = hidden.out, SILU_NORM
            x = matrix_product(program, x, weight * (gain * weight.shape[0] ** -0.5))
        return x
