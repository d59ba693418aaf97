"""TabulatedConvolution: a convolution whose radial network is a table of the distance."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn.convolution import Convolution
from symnets.nn.edges import EdgeGeometry, Edges
from symnets.ops.radial_table import RadialTable
from symnets.ops.tabulated_product import TabulatedProductScatter


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
