"""Convolution: sum over neighbours of features times spherical harmonics, also tabulated for inference."""

import copy
from collections.abc import Sequence

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._edges import EdgeGeometry, Edges
from symnets.nn._mlp import MLP
from symnets.nn._modification import modification
from symnets.ops import LinearWeights, RadialTable, TabulatedProductScatter, TensorProductScatter, all_paths


class Convolution(nn.Module):
    """Sum over neighbours of features ⊗ spherical harmonics, weighted by functions of distance:

        out_i = mean_neighbors^(-1/2) Σ_{j} x_j ⊗_{w(r_ij)} Y(r̂_ij),     w = MLP(radial basis).

    Every path (irrep of x, degree of Y, irrep of the output) has its own weights and its own
    output channels, which a linear layer then mixes.

    Args:
        irreps_in: features of the senders.
        irreps_filter: spherical harmonics.
        targets: irreps to compute; paths that lead elsewhere are left out.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours of the training data.

    Attributes:
        irreps_out: those of `targets` that a path reaches, with the channels of all their paths.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        targets: o3.Irreps | str,
        *,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        slots, paths = all_paths(irreps_in, irreps_filter, targets)
        if not paths:
            raise ValueError(f"Convolution: no path leads from {irreps_in} ⊗ {irreps_filter} to {targets}")
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
        # The fused loops multiply with the last matrix themselves.
        fused = modification(self.radial, MLP) is None
        weights = LinearWeights(*self.radial.last_layer(edges.basis)) if fused else self.radial(edges.basis)
        return self.norm * self.product(
            features, edges.filters, weights, edge_index, features.shape[0], edges.pair
        )


class Distance(nn.Module):
    """The distance itself in place of a radial basis, for tabulated convolutions."""

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges 1"]:
        """The distances in a column."""
        return distances[:, None]


class TabulatedConvolution(nn.Module):
    """`Convolution` for inference: its radial network as cubic splines of r, never stored for the edges.

    Args:
        convolution: trained; its dtype and device are kept.
        basis: the radial basis it was trained with; the splines include it.
        cutoff: Å.
        n_knots: intervals of the splines.
    """

    def __init__(self, convolution: Convolution, basis: nn.Module, cutoff: float, n_knots: int) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = convolution.irreps_in, convolution.irreps_out
        # On the CPU, where the knots are computed for a model on any device.
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
        """Convolved features; `edges.basis` holds the distances."""
        return self.product(
            features, edges.filters, edges.basis[:, 0], edge_index, features.shape[0], edges.pair
        )


def tabulate(model: nn.Module, cutoff: float, n_knots: int) -> None:
    """Replace the radial networks of all convolutions of a model by tables, in place.

    Raises:
        ValueError: the model has no convolution, or not exactly one `EdgeGeometry`, or one of them is of a
            subclass or has hooks or other changes, which tables would drop.
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
            f"expected a model of symnets.nn.Convolution layers with one EdgeGeometry, got {len(places)} "
            f"convolutions and {len(geometries)} geometries in {type(model).__name__}"
        )
    for name, module in model.named_modules():
        for cls in (Convolution, EdgeGeometry):
            if isinstance(module, cls) and (problem := modification(module, cls)):
                raise ValueError(f"{name}: expected a {cls.__name__} as its class makes it, but {problem}")
    basis = geometries[0].basis
    for parent, name, convolution in places:
        setattr(parent, name, TabulatedConvolution(convolution, basis, cutoff, n_knots))
    geometries[0].basis = Distance()
