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

        out_i = mean_neighbors^(-1/2) Σ_{j} x_j ⊗_{w(r_ij)} Y(r̂_ij),     w = MLP(radial basis),

    over the edges from senders j to the receiver i. Every path (irrep of x, degree of Y, irrep of the output)
    has its own weights and its own output channels. `Interaction` mixes these channels by a linear layer that
    follows.

    Args:
        irreps_in: irreps of the features x.
        irreps_filter: irreps of the spherical harmonics Y.
        targets: irreps to compute; paths into other irreps are left out.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours in the training data.

    Attributes:
        irreps_out: irreps of the result: each irrep of `targets` that some path reaches, with the channels of
            all paths into it.

    Raises:
        ValueError: no path leads to `targets`.
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
        # The compiled loops multiply by the last matrix themselves, which a hook on the MLP would not see.
        is_plain_mlp = modification(self.radial, MLP) is None
        weights = (
            LinearWeights(*self.radial.last_layer(edges.basis)) if is_plain_mlp else self.radial(edges.basis)
        )
        return self.norm * self.product(
            features, edges.filters, weights, edge_index, features.shape[0], edges.pair
        )


class Distance(nn.Module):
    """Identity in place of a radial basis: tabulated convolutions read the distances themselves, in Å."""

    def forward(self, distances: Float[Tensor, " edges"]) -> Float[Tensor, "edges 1"]:
        """Distances as a matrix of one column."""
        return distances[:, None]


class TabulatedConvolution(nn.Module):
    """`Convolution` for inference, with cubic splines of the distance in place of its radial network.

    The compiled loops interpolate the weights of each edge and do not store them.

    Args:
        convolution: trained convolution; its dtype and device are kept.
        basis: radial basis that it was trained with, which the splines include.
        cutoff: Å.
        n_knots: number of intervals of the splines.
    """

    def __init__(self, convolution: Convolution, basis: nn.Module, cutoff: float, n_knots: int) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = convolution.irreps_in, convolution.irreps_out
        # The values at the knots are computed on the CPU in float64, whatever the model's device and dtype.
        exact_basis, exact_radial = (
            copy.deepcopy(part).to("cpu", torch.float64) for part in (basis, convolution.radial)
        )

        def weights(r: Float[Tensor, " points"]) -> Float[Tensor, "points functions"]:
            return convolution.norm * exact_radial(exact_basis(r))

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

    Args:
        model: network of `Convolution` layers with one `EdgeGeometry`.
        cutoff: largest distance in the tables, in Å.
        n_knots: number of intervals of the splines.

    Raises:
        ValueError: the model has no convolution, or not exactly one `EdgeGeometry`; or one of these layers is
            an instance of a subclass, has hooks or is modified, which a table could not reproduce.
    """
    geometries = [module for module in model.modules() if isinstance(module, EdgeGeometry)]
    convolutions = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Convolution)
    ]
    if len(geometries) != 1 or not convolutions:
        raise ValueError(
            f"expected a model of symnets.nn.Convolution layers with one EdgeGeometry, got "
            f"{len(convolutions)} convolutions and {len(geometries)} geometries in {type(model).__name__}"
        )
    for name, module in model.named_modules():
        for cls in (Convolution, EdgeGeometry):
            if isinstance(module, cls) and (problem := modification(module, cls)):
                raise ValueError(f"{name}: expected a {cls.__name__} as its class makes it, but {problem}")
    basis = geometries[0].basis
    for parent, name, convolution in convolutions:
        setattr(parent, name, TabulatedConvolution(convolution, basis, cutoff, n_knots))
    geometries[0].basis = Distance()
