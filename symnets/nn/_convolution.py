"""Convolution: features of the neighbours, turned by the directions towards them.

TabulatedConvolution: a convolution whose radial network is a table of the distance.
"""

import copy
from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._edges import EdgeGeometry, Edges
from symnets.nn._mlp import MLP
from symnets.ops import LinearWeights, RadialTable, TabulatedProductScatter, TensorProductScatter, all_paths


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
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Convolved features."""
        weights = LinearWeights(*self.radial.last_layer(edges.basis))
        return self.norm * self.product(
            features, edges.filters, weights, edge_index, features.shape[0], edges.pair
        )


class Distance(nn.Module):
    """What takes the place of a radial basis: the distance itself, as one function."""

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges 1"]:
        """The distances in a column."""
        return distances[:, None]


class TabulatedConvolution(nn.Module):
    """`Convolution` for inference: MLP(basis(r)) as cubic splines of r, never stored for the edges.

    Args:
        convolution: trained; its dtype and device are kept.
        basis: the radial basis it was trained with, of which it is to be independent.
        cutoff: Å.
        n_knots: intervals of the splines.
    """

    def __init__(self, convolution: Convolution, basis: nn.Module, cutoff: float, n_knots: int) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = convolution.irreps_in, convolution.irreps_out
        # On the CPU, where the knots are, whatever device the model is on.
        exact_basis, exact = (
            copy.deepcopy(part).to("cpu", torch.float64) for part in (basis, convolution.radial)
        )

        def weights(r: Float[Tensor, " points"]) -> Float[Tensor, "points functions"]:
            return convolution.norm * exact(exact_basis(r))

        like = next(convolution.parameters())
        table = RadialTable(weights, cutoff, n_knots, dtype=like.dtype)
        self.product = TabulatedProductScatter(convolution.product.plan, table).to(like.device)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Convolved features, from the distances that `Distance` passes on."""
        return self.product(
            features, edges.filters, edges.basis[:, 0], edge_index, features.shape[0], edges.pair
        )


def tabulate(model: nn.Module, cutoff: float, n_knots: int) -> None:
    """Replaces the radial networks of all convolutions of a model by tables, in place.

    Raises:
        ValueError: the model has no convolution, or other than one `EdgeGeometry` to feed them.
    """
    geometries = [module for module in model.modules() if isinstance(module, EdgeGeometry)]
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Convolution)
    ]
    if len(geometries) != 1 or not places:
        raise ValueError(
            f"expected a model of symnets.nn.Convolution layers fed by one EdgeGeometry, got {len(places)} "
            f"convolutions and {len(geometries)} geometries in {type(model).__name__}"
        )
    basis = geometries[0].basis
    for parent, name, convolution in places:
        setattr(parent, name, TabulatedConvolution(convolution, basis, cutoff, n_knots))
    geometries[0].basis = Distance()
