"""Dropout of equivariant features."""

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.ops import blocks, join


class Dropout(nn.Module):
    """Dropout of whole channels of irreps, which keeps the layer equivariant:

        x_c -> ξ_c x_c / (1 - p),     ξ_c = 0 with probability p, else 1,

    with one ξ for all components of channel c of a node. In evaluation mode it is the identity, as it is on
    average in training mode. This is `e3nn.nn.Dropout`, in the `ir_mul` layout. Random numbers are those of
    torch's default generator.

    Source: Srivastava et al. 2014, J. Mach. Learn. Res. 15, 1929.

    Args:
        irreps: irreps of the features.
        p: probability to drop a channel.

    Raises:
        ValueError: p is not a probability below 1.
    """

    def __init__(self, irreps: o3.Irreps | str, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p: expected a probability from 0 to below 1, got {p}")
        self.irreps_in = self.irreps_out = o3.Irreps(irreps)
        self.channels, self.p = [mul for mul, _ in self.irreps_in], p

    def forward(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Features with channels dropped in training mode."""
        if not self.training or self.p == 0:
            return features
        kept = torch.empty_like(features[:, : sum(self.channels)]).bernoulli_(1 - self.p) / (1 - self.p)
        masks = kept.split(self.channels, dim=1)
        parts = blocks(features, self.irreps_in)
        return join([part * mask[:, None] for part, mask in zip(parts, masks, strict=True)])
