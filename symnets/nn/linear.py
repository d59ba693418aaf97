"""Linear: equivariant mixing of channels."""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.ops.layout import blocks, join


class Linear(nn.Module):
    """Mix the channels of equal irreps, the only linear equivariant map.

    For every output irrep, with the sum over the input slots of the same irrep,

        out[n, m, c] = fan_in^(-1/2) Σ_{slots, c'} x[n, m, (slot, c')] W[(slot, c'), c],

    which is `e3nn.o3.Linear` (weights of unit variance, no bias) in the `ir_mul` layout.
    An output irrep that no input has is an error: it would be zero.

    Args:
        irreps_in: input irreps; slots of equal irrep may be repeated.
        irreps_out: output irreps, each irrep once.
    """

    def __init__(self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        self.slots = [
            [i for i, (_, ir) in enumerate(self.irreps_in) if ir == out] for _, out in self.irreps_out
        ]
        for slots, (_, ir) in zip(self.slots, self.irreps_out, strict=True):
            if not slots:
                raise ValueError(f"Linear: output irrep {ir} is in none of the inputs {self.irreps_in}")
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(sum(self.irreps_in[i].mul for i in slots), mul))
            for slots, (mul, _) in zip(self.slots, self.irreps_out, strict=True)
        )

    def forward(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_out"]:
        """Mixed features."""
        return self.mix(blocks(features, self.irreps_in))

    def mix(self, parts: list[Float[Tensor, "n _ir _mul"]]) -> Float[Tensor, "n dim_out"]:
        """Mixed features from the blocks of the input, for callers that have them apart."""
        out = []
        for slots, weight in zip(self.slots, self.weights, strict=True):
            x = parts[slots[0]] if len(slots) == 1 else torch.cat([parts[i] for i in slots], dim=-1)
            # Atoms, not components, are the rows of the products: long ones, (2l+1) of them.
            mixed = x.transpose(0, 1) @ (weight * weight.shape[0] ** -0.5)
            out.append(mixed.transpose(0, 1))
        return join(out)
