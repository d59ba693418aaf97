"""SymmetricContraction: the many-body product of MACE."""

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops._contraction_plan import ContractionPlan
from symnets.ops._implementation import (
    Implementation,
    check_option,
    check_tensors,
    use_fused,
    without_autocast,
)
from symnets.ops._polynomial import FusedPolynomial, polynomial


class SymmetricContraction(nn.Module):
    """Equivariant polynomials of a node's features, with weights for each species, path and channel.

        out[n, (L, M), c] = Σ_{ν ≤ correlation} Σ_η w[s_n, η, c] Σ_{i1...iν} U^η_{M, i1...iν} Π_k x[n, i_k, c]

    s_n is the species of node n, i a component (l, m) of any irrep, and η numbers a basis of the symmetric
    equivariant maps U into L (`symmetric_basis`). This is the product basis of MACE (Batatia et al. 2022,
    arXiv:2206.07697), in the `ir_mul` layout, without linearly dependent paths. For a scalar s and a vector v
    (1x0e+1x1o) and correlation 2, the scalar output is

        w_0 s + w_1 s² + w_2 v·v / 3^(1/2).

    Args:
        irreps_in: irreps of x, all with the same number of channels.
        irreps_out: irreps of the result, with the same number of channels.
        correlation: highest degree ν.
        implementation: "fused" (compiled CPU loops), "plain" (torch, any device), or "auto": "fused" on
            the CPU in float32 and float64, else "plain".

    Attributes:
        n_paths: number of values of η, ordered by output irrep, then by degree.

    Raises:
        ValueError: unequal numbers of channels, a correlation below 1, an unknown implementation, or an
            output irrep that no product of the features contains.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        correlation: int,
        *,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.plan = ContractionPlan(irreps_in, irreps_out, correlation)
        self.irreps_in, self.irreps_out = self.plan.irreps_in, self.plan.irreps_out
        self.channels, self.n_paths = self.plan.channels, self.plan.n_paths
        self.implementation = implementation
        self._fused = FusedPolynomial(self.plan)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        weights: Float[Tensor, "species n_paths channels"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Polynomials of each node's features; `species` counts from 0.

        Raises:
            ValueError: wrong shapes, dtypes or devices; in the compiled loops, also a species out of range.
        """
        n_nodes, n_species = len(species), len(weights)
        expected = {
            "features": (features, (n_nodes, self.plan.components * self.channels)),
            "weights": (weights, (n_species, self.n_paths, self.channels)),
        }
        check_tensors(features, expected)
        if use_fused(self.implementation, features):
            present, present_index = species.unique(return_inverse=True)
            if len(present) and not 0 <= present[0] <= present[-1] < n_species:
                raise ValueError(f"species: expected 0 to {n_species - 1}, got {present[0]} to {present[-1]}")
            weights = weights.index_select(0, present)
            with without_autocast():
                coefficients = self.plan.expansion.to(weights) @ weights
            return polynomial(self._fused, features, coefficients, present_index)
        return plain(self.plan, features, weights, species)


def plain(
    plan: ContractionPlan,
    features: Float[Tensor, "nodes dim_in"],
    weights: Float[Tensor, "species n_paths channels"],
    species: Int[Tensor, " nodes"],
) -> Float[Tensor, "nodes dim_out"]:
    """Contraction in plain torch: the monomials of each degree, times U as a matrix, times the weights."""
    x = features.unflatten(1, (plan.components, plan.channels))
    chain, bases = plan.tables(x)
    products = [x]
    for shorter, last in chain:
        products.append(products[-1][:, shorter] * x[:, last])
    w = weights[species]
    outputs: list[list[Tensor]] = [[] for _ in range(plan.n_slots)]
    for (slot, degree, first, _), basis in zip(plan.blocks, bases, strict=True):
        paths = basis.flatten(0, 1) @ products[degree - 1]
        weighted = w[:, first : first + len(basis), None] * paths.unflatten(1, basis.shape[:2])
        outputs[slot].append(weighted.sum(1))
    return torch.cat([torch.stack(by_degree).sum(0) for by_degree in outputs], dim=1).flatten(1)
