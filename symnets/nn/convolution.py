"""Convolution: features of the neighbours, turned by the directions towards them."""

from collections.abc import Sequence

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn.mlp import MLP
from symnets.ops import TensorProductScatter, all_paths


class Convolution(nn.Module):
    """Sum over neighbours of features ⊗ spherical harmonics, weighted by functions of distance,

        out_i = mean_neighbors^(-1/2) Σ_{j} x_j ⊗_{w(r_ij)} Y(r̂_ij),     w = MLP(radial basis).

    Every path (irrep of x, degree of Y, irrep of the output) has its own weights and its own
    output channels; a linear layer is meant to follow.

    Args:
        irreps_in: features of the senders.
        irreps_filter: spherical harmonics.
        wanted: irreps of interest; paths that lead elsewhere are not computed.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours of the training data.

    Attributes:
        irreps_out: the reachable ones of `wanted`, with the channels of all their paths.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        wanted: o3.Irreps | str,
        *,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        slots, paths = all_paths(irreps_in, irreps_filter, wanted)
        if not paths:
            raise ValueError(f"Convolution: no path leads from {irreps_in} ⊗ {irreps_filter} to {wanted}")
        self.irreps_out = slots.simplify()
        self.product = TensorProductScatter(irreps_in, irreps_filter, slots, paths, layout="ir_mul")
        self.radial = MLP(n_basis, *radial_hidden, self.product.weight_numel)
        self.norm = mean_neighbors**-0.5

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        basis: Float[Tensor, "edges n_basis"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Convolved features."""
        weights = self.radial(basis)
        return self.norm * self.product(features, filters, weights, edge_index, features.shape[0])
