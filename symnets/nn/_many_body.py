"""Many-body products of a node's features, and MACE's layer, which contains them."""

import math
from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.native import Matrix, Program, polynomials
from symnets.nn._convolution import Convolution
from symnets.nn._density import Density
from symnets.nn._edges import Edges
from symnets.nn._linear import Linear, SpeciesLinear
from symnets.ops import SymmetricContraction


class ManyBodyProduct(nn.Module):
    """Product basis of MACE: `SymmetricContraction` with one weight for each species, path and channel.

    A path of degree ν has the factor (ν! n)^(-1/2), where n is the number of paths, of all degrees, into the
    same output irrep. For independent weights and features drawn from N(0, 1) the variance of the output is
    then between one and three.

    Args:
        irreps_in: irreps of the features, all with the same number of channels.
        irreps_out: irreps of the result, with the same number of channels.
        correlation: highest degree of the products; products of sums over neighbours are
            (correlation + 1)-body terms.
        n_species: number of species.
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
            n_paths = sum(len(block.basis) for block in plan.blocks if block.slot_out == slot)
            factors[first : first + len(basis)] = (math.factorial(degree) * n_paths) ** -0.5
        self.register_buffer("factors", factors, persistent=False)
        self.weights = nn.Parameter(torch.randn(n_species, plan.n_paths, plan.channels))

    def forward(
        self, features: Float[Tensor, "n dim_in"], species: Int[Tensor, " n"]
    ) -> Float[Tensor, "n dim_out"]:
        """Products of the features of each node; `species` is the index of its species, from 0."""
        return self.contraction(features, self.weights * self.factors.to(self.weights.dtype), species)

    def lower(self, program: Program, features: Matrix, species: Matrix) -> Matrix:
        """Products in a native program."""
        assert species is program.species
        if features.table is not None:
            return program.lookup(self(features.table, torch.arange(len(features.table))))
        plan = self.contraction.plan
        weights = self.weights.detach().to("cpu", torch.float64) * self.factors.cpu()
        return polynomials(program, features, plan, (plan.expansion @ weights).numpy())


class ManyBodyInteraction(nn.Module):
    """Layer of MACE: message passing with products of sums over neighbours.

    With the features x of the nodes,

        A ← linear( convolution( linear(x) ) ),
        x ← linear( product(A, species) ) + self_connection(x, species).

    The products (`ManyBodyProduct`) are the only operation that is nonlinear in the features. Without a
    self-connection, and with a density ρ,

        A ← linear_species( convolution( linear(x) ) ) / (1 + ρ),     x ← linear( product(A, species) ),

    where linear_species has its own weights for each species of the node.

    Source: Batatia et al. 2022, arXiv:2206.07697; densities: Batatia et al. 2024, arXiv:2401.00096.

    Args:
        irreps_in: irreps of the features x.
        irreps_filter: irreps of the spherical harmonics, and of A.
        irreps_out: irreps of the result, all with the same number of channels, which is also that of A.
        correlation: largest number of factors A in a product.
        n_species: number of species.
        n_basis: number of radial basis functions.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours; sums over neighbours are divided by its square root.
        self_connection: whether x, mixed by weights for each species, is added. Without it, the sums over
            neighbours are mixed by weights for each species, and an atom without neighbours gets x = 0.
        density: whether sums over neighbours are divided by 1 plus the trained `Density`, instead of
            √mean_neighbors.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        *,
        correlation: int,
        n_species: int,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
        self_connection: bool = True,
        density: bool = False,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        channels = self.irreps_out[0].mul
        irreps_sum = o3.Irreps([(channels, ir) for _, ir in o3.Irreps(irreps_filter)])
        self.before = Linear(irreps_in, irreps_in)
        self.convolution = Convolution(
            irreps_in,
            irreps_filter,
            irreps_sum,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=1.0 if density else mean_neighbors,
        )
        mixed = self.convolution.irreps_out
        self.after = (
            Linear(mixed, irreps_sum) if self_connection else SpeciesLinear(mixed, irreps_sum, n_species)
        )
        self.product = ManyBodyProduct(irreps_sum, self.irreps_out, correlation, n_species)
        self.mix = Linear(self.irreps_out, self.irreps_out)
        self.self_connection = (
            SpeciesLinear(irreps_in, self.irreps_out, n_species) if self_connection else None
        )
        self.density = Density(n_basis) if density else None

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features after one step of message passing."""
        sums = self.convolution(self.before(features), edges, edge_index)
        sums = self.after(sums, species) if isinstance(self.after, SpeciesLinear) else self.after(sums)
        if self.density is not None:
            sums = sums / (1 + self.density(edges, edge_index, features.shape[0]))
        updated = self.mix(self.product(sums, species))
        if self.self_connection is None:
            return updated
        return updated + self.self_connection(features, species)
