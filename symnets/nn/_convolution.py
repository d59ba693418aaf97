"""Convolution: sum over neighbours of features times spherical harmonics, also tabulated for inference."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.native import CannotLower, Matrix, Program, convolve
from symnets.nn._attention import Attention, TabulatedAttention
from symnets.nn._density import Density, TabulatedDensity
from symnets.nn._edges import Distance, EdgeGeometry, Edges
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


class TabulatedConvolution(nn.Module):
    """`Convolution` for inference, with cubic splines of the distance in place of its radial network.

    The compiled loops interpolate the weights of each edge and do not store them.

    Args:
        convolution: trained convolution.
        table: its weights as functions of the distance.
    """

    def __init__(self, convolution: Convolution, table: RadialTable) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = convolution.irreps_in, convolution.irreps_out
        self.product = TabulatedProductScatter(convolution.product.plan, table)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Convolved features; `edges.basis` holds the distances."""
        return self.product(
            features, edges.filters, edges.basis[:, 0], edge_index, len(features), edges.pair, edges.kind
        )

    def lower(
        self, program: Program, features: Matrix, edges: Any, edge_index: tuple[Matrix, Matrix]
    ) -> Matrix:
        """Convolved features in a native program, where `edges.basis` has one row for each edge.

        Raises:
            CannotLower: the edges are not those of the program.
        """
        if edges.pair is not None:
            raise CannotLower(
                "TabulatedConvolution: expected a distance for each edge, got one for each pair"
            )
        if edge_index != (program.sender, program.receiver):
            raise CannotLower("TabulatedConvolution: expected the edges of the graph, got others")
        product = self.product
        return convolve(
            program, features, edges.filters, edges.basis, edges.kind, product.plan, product.table
        )


MAX_TABLES = 2**31
"""Largest size of the tables of a model in bytes."""


def tabulate(model: nn.Module, cutoff: float, n_knots: int) -> None:
    """Replace the radial networks of convolutions, attention and densities of a model by tables, in place.

    A basis that depends on the elements of a pair (`TransformedBasis`) has tables for each pair of elements.

    Args:
        model: network of `Convolution` or `Attention` layers with one `EdgeGeometry`.
        cutoff: largest distance in the tables, in Å.
        n_knots: number of intervals of the splines.

    Raises:
        ValueError: the model has no convolution or attention, or not exactly one `EdgeGeometry`; or one of
            these layers is an instance of a subclass, has hooks or is modified, so that a table would not
            reproduce it; or the tables of all pairs of elements are larger than 2 GiB.
    """
    geometries = [module for module in model.modules() if isinstance(module, EdgeGeometry)]
    layers = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Attention | Convolution | Density)
    ]
    n_weights = [
        layer.product.weight_numel if isinstance(layer, Convolution) else sum(layer.numels)
        for _, _, layer in layers
        if not isinstance(layer, Density)
    ]
    if not n_weights:
        raise ValueError(
            f"{type(model).__name__} cannot be compiled: expected symnets.nn.Convolution or Attention layers"
            ", whose radial networks, functions of the distance alone, become tables, and it has none; "
            "networks on edges that read features of atoms too, as in Allegro and EGNN, cannot be tables"
        )
    if len(geometries) != 1:
        raise ValueError(
            f"expected a model with one EdgeGeometry, got {len(geometries)} in {type(model).__name__}"
        )
    for name, module in model.named_modules():
        for cls in (Attention, Convolution, Density, EdgeGeometry):
            if isinstance(module, cls) and (problem := modification(module, cls)):
                raise ValueError(f"{name}: expected an unmodified {cls.__name__}, but {problem}")
    basis = geometries[0].basis
    kinds = getattr(basis, "kinds", None)
    if kinds is not None:
        size = kinds.n_kinds * (n_knots + 2) * 2 * sum(n_weights) * next(model.parameters()).element_size()
        if size > MAX_TABLES:
            raise ValueError(
                f"a radial network for each of the {kinds.n_kinds} pairs of {len(kinds.species)} elements: "
                f"its tables would take {size / 2**30:.0f} GiB; keep the elements that you need (`species`)"
            )
    for parent, name, layer in layers:
        device = next(layer.parameters()).device
        if isinstance(layer, Attention):
            tables = _tables(layer, basis, cutoff, n_knots, layer.numels)
            tabulated = TabulatedAttention(layer, *tables)
        elif isinstance(layer, Convolution):
            tabulated = TabulatedConvolution(layer, *_tables(layer, basis, cutoff, n_knots))
        else:
            tabulated = TabulatedDensity(*_tables(layer, basis, cutoff, n_knots))
        setattr(parent, name, tabulated.to(device))
    geometries[0].basis = Distance(kinds)


def _tables(
    layer: Attention | Convolution | Density,
    basis: nn.Module,
    cutoff: float,
    n_knots: int,
    parts: Sequence[int] = (),
) -> list[RadialTable]:
    """Tables of the functions of a layer, computed on the CPU in float64 and stored in the layer's dtype.

    `parts` are the numbers of functions in each table; if it is empty, one table has all of them.
    """
    exact_basis: Any = copy.deepcopy(basis).to("cpu", torch.float64)
    exact_layer: Any = copy.deepcopy(layer).to("cpu", torch.float64)

    def values(r: Float[Tensor, " points"], *kind: Tensor) -> Float[Tensor, "points functions"]:
        of_basis = exact_basis(r, *kind)
        if isinstance(exact_layer, Density):
            return exact_layer.of_basis(of_basis)
        norm = exact_layer.norm if isinstance(exact_layer, Convolution) else 1.0
        return norm * exact_layer.radial(of_basis)

    kinds, dtype = getattr(basis, "kinds", None), next(layer.parameters()).dtype
    at_knots, tables, first = torch.zeros(n_knots + 1, dtype=torch.long), [], 0
    for n in parts or [None]:
        columns = slice(first, None if n is None else first + n)
        functions = lambda r, c=columns: values(r)[:, c]  # noqa: E731
        if kinds is not None:
            functions = [
                lambda r, kind=k, c=columns: values(r, at_knots + kind)[:, c] for k in range(kinds.n_kinds)
            ]
        tables.append(RadialTable(functions, cutoff, n_knots, dtype=dtype))
        first += n or 0
    return tables
