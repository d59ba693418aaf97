"""Layout of equivariant features: `ir_mul` inside symnets, e3nn's `mul_ir` at the boundary.

A node's features of irreps `C₀ x l₀ + C₁ x l₁ + ...` are one contiguous row with a block for each irrep.
Within a block symnets stores (2l+1, channels), e3nn (channels, 2l+1); the last index runs fastest.
"""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor


def blocks(features: Float[Tensor, "n dim"], irreps: o3.Irreps) -> list[Float[Tensor, "n _ir _mul"]]:
    """Split `ir_mul` rows into views (n, 2l+1, channels), one for each irrep."""
    if features.shape[-1] != irreps.dim:
        raise ValueError(
            f"features: expected {irreps.dim} columns for irreps {irreps}, got {features.shape[-1]}"
        )
    sizes = [mul_ir.dim for mul_ir in irreps]
    return [
        block.unflatten(-1, (ir.dim, mul))
        for block, (mul, ir) in zip(features.split(sizes, dim=-1), irreps, strict=True)
    ]


def join(parts: list[Float[Tensor, "n _ir _mul"]]) -> Float[Tensor, "n dim"]:
    """Join blocks (n, 2l+1, channels) to `ir_mul` rows: the inverse of `blocks`."""
    return torch.cat([part.flatten(1) for part in parts], dim=-1)


def to_e3nn(features: Float[Tensor, "n dim"], irreps: o3.Irreps) -> Float[Tensor, "n dim"]:
    """Reorder rows from the `ir_mul` layout of symnets to e3nn's `mul_ir`."""
    return join([block.mT for block in blocks(features, irreps)])


def from_e3nn(features: Float[Tensor, "n dim"], irreps: o3.Irreps) -> Float[Tensor, "n dim"]:
    """Reorder rows from e3nn's `mul_ir` layout to the `ir_mul` of symnets."""
    sizes = [mul_ir.dim for mul_ir in irreps]
    parts = features.split(sizes, dim=-1)
    return join([part.unflatten(-1, (mul, ir.dim)).mT for part, (mul, ir) in zip(parts, irreps, strict=True)])
