"""Flat weight arrays of e3nn's layers: split into one block for each irrep, and copied to symnets' layers."""

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
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


def sorted_by_path(
    radial: Tensor, after: Mapping[o3.Irrep, Tensor], outputs: o3.Irreps, order: Sequence[int]
) -> tuple[Tensor, dict[o3.Irrep, Tensor]]:
    """Weights of a convolution, and of the linear layer that follows, with the paths in another order.

    Args:
        radial: last weights of the radial network, with columns for the channels of one path after another.
        after: weights of the linear layer into each irrep, as `flat_blocks` returns them, with rows for the
            channels of one path into this irrep after another.
        outputs: channels and irrep of the output of each path, in the present order.
        order: present numbers of the paths, in the order to have.
    """
    columns = radial.split([mul for mul, _ in outputs], dim=1)
    blocks = {}
    for ir, block in after.items():
        into_ir = [n for n, out in enumerate(outputs) if out.ir == ir]
        rows = dict(zip(into_ir, block.split([outputs[n].mul for n in into_ir]), strict=True))
        blocks[ir] = torch.cat([rows[n] for n in order if n in rows])
    return torch.cat([columns[n] for n in order], dim=1), blocks
