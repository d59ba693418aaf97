"""Flat weight arrays of e3nn's layers: split into one block for each irrep, and copied to symnets' layers."""

import itertools
import math
from collections.abc import Mapping

from e3nn import o3
from torch import Tensor

from symnets.nn import Linear, SpeciesLinear


def flat_blocks(
    array: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps, *between: int
) -> dict[o3.Irrep, Tensor]:
    """e3nn's flat weights as arrays (mul_in, *between, mul_out), one for each irrep of input and output.

    Raises:
        ValueError: the array has another size.
    """
    blocks, start = {}, 0
    for (mul_in, ir_in), (mul_out, ir_out) in itertools.product(irreps_in, irreps_out):
        if ir_in == ir_out:
            size = math.prod((mul_in, *between, mul_out))
            blocks[ir_in] = array[start : start + size].view(mul_in, *between, mul_out)
            start += size
    if start != array.numel():
        raise ValueError(f"expected {start} weights for {irreps_in} -> {irreps_out}, got {array.numel()}")
    return blocks


def copy_blocks(layer: Linear | SpeciesLinear, blocks: Mapping[o3.Irrep, Tensor]) -> None:
    """Copy the weights of each irrep, as `flat_blocks` returns them, to a layer."""
    for weight, (_, ir) in zip(layer.weights, layer.irreps_out, strict=True):
        if ir in blocks:  # without an input of this irrep there is no weight
            weight.copy_(blocks[ir])
