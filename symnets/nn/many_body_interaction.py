"""ManyBodyInteraction: one layer of a network of many-body products."""

from collections.abc import Sequence

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn.convolution import Convolution
from symnets.nn.edges import Edges
from symnets.nn.linear import Linear
from symnets.nn.many_body_product import ManyBodyProduct
from symnets.nn.species_linear import SpeciesLinear


class ManyBodyInteraction(nn.Module):
    """MACE's layer: the neighbours' features are summed, the sums multiplied with each other,

        A ← linear( convolution( linear(x) ) ),
        x ← linear( product(A, species) ) + self_connection(x, species).

    The products are its only nonlinearity in the features. Source: Batatia et al. 2022, arXiv:2206.07697.

    Args:
        irreps_in: incoming features.
        irreps_filter: spherical harmonics; A has these irreps too.
        irreps_out: features to produce, all with the same number of channels, which is A's.
        correlation: how many A are multiplied at most.
        n_species: number of species.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours of the training data.
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
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = o3.Irreps(irreps_in), o3.Irreps(irreps_out)
        channels = self.irreps_out[0].mul
        density = o3.Irreps([(channels, ir) for _, ir in o3.Irreps(irreps_filter)])
        self.before = Linear(irreps_in, irreps_in)
        self.convolution = Convolution(
            irreps_in,
            irreps_filter,
            density,
            n_basis=n_basis,
            radial_hidden=radial_hidden,
            mean_neighbors=mean_neighbors,
        )
        self.after = Linear(self.convolution.irreps_out, density)
        self.product = ManyBodyProduct(density, self.irreps_out, correlation, n_species)
        self.mix = Linear(self.irreps_out, self.irreps_out)
        self.self_connection = SpeciesLinear(irreps_in, self.irreps_out, n_species)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        species: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features after one exchange with the neighbours."""
        density = self.after(self.convolution(self.before(features), edges, edge_index))
        return self.mix(self.product(density, species)) + self.self_connection(features, species)
