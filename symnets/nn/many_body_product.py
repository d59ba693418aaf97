"""ManyBodyProduct: products of a node's features with themselves, with learned weights for every species."""

import math

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops.symmetric_contraction import SymmetricContraction


class ManyBodyProduct(nn.Module):
    """The product basis of MACE: `SymmetricContraction` with one weight for each species, path and channel.

    The factor of a path of degree ν is (ν! n)^(-1/2) with n the paths into its output irrep: with weights and
    features that are independent normal numbers of unit variance, the variance of the output is between one
    and three.

    Args:
        irreps_in: irreps of the features, all with the same number of channels.
        irreps_out: irreps of the result, with as many channels.
        correlation: highest degree: features that sum over neighbours become (correlation + 1)-body terms.
        n_species: chemical species.
    """

    factors: Tensor

    def __init__(
        self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, correlation: int, n_species: int
    ) -> None:
        super().__init__()
        self.contraction = SymmetricContraction(irreps_in, irreps_out, correlation)
        self.irreps_in, self.irreps_out = self.contraction.irreps_in, self.contraction.irreps_out
        plan = self.contraction.plan
        factors = torch.empty(plan.n_paths, 1, dtype=torch.float64)
        for slot, degree, first, basis in plan.blocks:
            n = sum(len(block.basis) for block in plan.blocks if block.slot_out == slot)
            factors[first : first + len(basis)] = (math.factorial(degree) * n) ** -0.5
        self.register_buffer("factors", factors, persistent=False)
        self.weights = nn.Parameter(torch.randn(n_species, plan.n_paths, plan.channels))

    def forward(
        self, features: Float[Tensor, "n dim_in"], species: Int[Tensor, " n"]
    ) -> Float[Tensor, "n dim_out"]:
        """Products; `species` counts from 0."""
        return self.contraction(features, self.weights * self.factors.to(self.weights.dtype), species)
