"""TensorProductScatter: e3nn's per-edge tensor product, summed over the edges of each receiver."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops._adjacency import adjacency
from symnets.ops._cuequivariance import CuequivariancePlan, cuequivariance, has_cuequivariance
from symnets.ops._fused import fused
from symnets.ops._fused_plan import FusedPlan
from symnets.ops._implementation import (
    Implementation,
    check_edges,
    check_option,
    check_tensors,
    is_traced,
    use_fused,
)
from symnets.ops._instructions import IrrepNormalization, PathNormalization, plan_of
from symnets.ops._layout import from_e3nn, to_e3nn
from symnets.ops._linear_weights import LinearWeights, fused_linear
from symnets.ops._plain import PlainPlan, plain


class ColumnPermutation(nn.Module):
    """Permutation of the columns of a matrix; the identity returns the matrix itself.

    It is one gather, which on a CPU is ten times faster than transposing blocks and joining them.

    Args:
        order: column of the matrix for each column of the result; None for the identity.
    """

    order: Tensor | None

    def __init__(self, order: Int[Tensor, " columns"] | None = None) -> None:
        super().__init__()
        is_identity = order is None or torch.equal(order, torch.arange(len(order)))
        self.register_buffer("order", None if is_identity else order, persistent=False)

    @classmethod
    def of(cls, layout: Callable[[Tensor, o3.Irreps], Tensor], irreps: o3.Irreps) -> "ColumnPermutation":
        """The permutation that `to_e3nn` or `from_e3nn` applies to rows of these irreps."""
        return cls(layout(torch.arange(irreps.dim)[None], irreps)[0])

    def forward(self, table: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """Matrix with permuted columns."""
        return table if self.order is None else table.index_select(1, self.order)


Layout = Literal["mul_ir", "ir_mul"]
"""Order within the block of an irrep: (channels, 2l+1) or (2l+1, channels)."""
ProductImplementation = Literal[Implementation, "cuequivariance"]
"""`Implementation`, or NVIDIA's cuequivariance."""


class TensorProductScatter(nn.Module):
    """Tensor product and scatter of equivariant message passing, with weights for each edge.

    With paths p = (irrep of in1, irrep of in2, output slot) and Clebsch-Gordan coefficients CG,

        out[i, (s, k), u] = Σ_{e: receiver(e)=i} Σ_{p -> s} Σ_{a, b, v}
                            CG_p[a, b, k] x[sender(e), (p, a), u] Y[e, (p, b), v] w[e, p, u, v].

    This is `e3nn.o3.TensorProduct(irreps_in1, irreps_in2, irreps_out, instructions, shared_weights=False)`
    of x[sender], Y and w, followed by a sum over the edges of each receiver, with e3nn's normalisations

        CG_p = (path_weight α / n)^(1/2) wigner_3j.

    α is dim_out ("component"), dim_in1 dim_in2 ("norm") or 1 ("none"), where dim is 2l+1. If V is the
    multiplicity of a path's filter, n is the sum of V over the paths into the slot ("element"), V of path p
    times the number of these paths ("path"), or 1 ("none").

    The product is differentiable to any order. Edges may be in any order; nodes without edges get zeros.

    Args:
        irreps_in1: irreps of the node features x.
        irreps_in2: irreps of the filter Y of each edge, usually spherical harmonics.
        irreps_out: irreps of the output slots; a slot has as many channels u as the features of its paths.
        instructions: e3nn's `(i_in1, i_in2, i_out, "uvu", True[, path_weight])`, or triples of numbers.
        layout: layout of features, filters and result: e3nn's "mul_ir" (channels, 2l+1), or "ir_mul"
            (2l+1, channels), which the layers of symnets use and the compiled loops read. In "ir_mul"
            neighbouring slots of equal irrep are merged to one block, in which their channels are contiguous.
        irrep_normalization: choice of α: "component", "norm" or "none".
        path_normalization: choice of n: "element", "path" or "none".
        implementation: "fused" (compiled, CPU, float32 and float64; messages are not stored), "plain" (torch,
            any device and dtype), "cuequivariance" (an optional package; its CUDA kernels are untested), or
            "auto": "fused" on the CPU; on CUDA "cuequivariance" if its kernels are installed and all
            multiplicities are multiples of 32; "plain" otherwise, and within `torch.func` transforms and
            `torch.compile`.

    Attributes:
        irreps_out: irreps of a row of the result: as given for "mul_ir", simplified for "ir_mul".
        weight_numel: number of weights of an edge: w[u, v] of path 0, then of path 1, ..., as in e3nn.
        plan: the product with filters of multiplicity one, in "ir_mul".

    Raises:
        ValueError: instructions that O(3) forbids, that do not fit the irreps or are not supported; unknown
            options.
        ImportError: implementation "cuequivariance" without the package.
    """

    def __init__(
        self,
        irreps_in1: o3.Irreps | str,
        irreps_in2: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        instructions: Iterable[Sequence[Any]],
        *,
        layout: Layout = "mul_ir",
        irrep_normalization: IrrepNormalization = "component",
        path_normalization: PathNormalization = "element",
        implementation: ProductImplementation = "auto",
    ) -> None:
        super().__init__()
        check_option("layout", layout, Layout)
        check_option("implementation", implementation, ProductImplementation)
        if implementation == "cuequivariance" and not has_cuequivariance():
            raise ImportError(
                'implementation "cuequivariance": cuequivariance_torch is not installed; '
                "pip install 'symnets[cuequivariance]', or use \"auto\""
            )
        self.irreps_in1, self.irreps_in2 = o3.Irreps(irreps_in1), o3.Irreps(irreps_in2)
        slots = o3.Irreps(irreps_out)
        self.plan, weights = plan_of(
            self.irreps_in1, self.irreps_in2, slots, instructions, irrep_normalization, path_normalization
        )
        self.irreps_out = slots if layout == "mul_ir" else self.plan.irreps_out
        self.weight_numel = self.plan.weight_numel
        self.layout, self.implementation = layout, implementation
        self._columns = self.irreps_in1.dim, self.irreps_in2.dim, self.weight_numel
        # The loops read features in "ir_mul", and filters of multiplicity one in the order of "mul_ir".
        if layout == "mul_ir":
            self._features = ColumnPermutation.of(from_e3nn, self.irreps_in1)
            self._filters, self._result = (
                ColumnPermutation(),
                ColumnPermutation.of(to_e3nn, self.plan.irreps_out),
            )
        else:
            self._features, self._result = ColumnPermutation(), ColumnPermutation()
            self._filters = ColumnPermutation.of(to_e3nn, self.irreps_in2)
        self._weights = ColumnPermutation(weights)
        self._fused, self._plain = FusedPlan(self.plan), PlainPlan(self.plan)
        self._cuequivariance = CuequivariancePlan(self.plan)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in1"],
        filters: Float[Tensor, "edges dim_in2"],
        weights: Float[Tensor, "rows weight_numel"] | LinearWeights,
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
        pair: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "n_nodes dim_out"]:
        """Sums over the edges of each receiver.

        Args:
            features: x, a row for each node that may send.
            filters: Y.
            weights: w, or its factors as `LinearWeights`, which need less memory.
            edge_index: senders, then receivers: rows of `features` and of the result.
            n_nodes: rows of the result.
            pair: row of `weights` of each edge, see `symnets.ops.pairs`; None if edge e has row e.

        Raises:
            ValueError: wrong shapes, dtypes or devices, or nodes out of range.
        """
        check_edges(edge_index, pair)
        n_edges = edge_index.shape[1]
        linear = isinstance(weights, LinearWeights)
        n_hidden = len(weights.matrix) if linear else 0
        dim_in1, dim_in2, numel = self._columns
        expected = {
            "features": (features, (len(features), dim_in1)),
            "filters": (filters, (n_edges, dim_in2)),
        }
        rows = n_edges if pair is None else len(weights.hidden if linear else weights)
        if linear:
            expected["hidden"] = weights.hidden, (rows, n_hidden)
            expected["matrix"] = weights.matrix, (n_hidden, numel)
        else:
            expected["weights"] = weights, (rows, numel)
        check_tensors(features, expected)
        if linear:
            weights = LinearWeights(weights.hidden, self._weights(weights.matrix))
        else:
            weights = self._weights(weights)
        x, y = self._features(features), self._filters(filters)
        out = self._product(x, y, weights, edge_index, n_nodes, pair)
        return self._result(out)

    def _product(
        self,
        x: Tensor,
        y: Tensor,
        w: Tensor | LinearWeights,
        edge_index: Tensor,
        n_nodes: int,
        pair: Tensor | None,
    ) -> Tensor:
        """The product with features and result in "ir_mul" and filters of multiplicity one."""
        if use_fused(self.implementation, x):
            n_pairs = len(w.hidden if isinstance(w, LinearWeights) else w)
            edges = adjacency(edge_index, pair, (len(x), n_nodes, n_pairs))
            loops = fused_linear if isinstance(w, LinearWeights) else fused
            return loops(self._fused, x, y, w, edges)  # pyright: ignore[reportArgumentType]
        rows = w.rows() if isinstance(w, LinearWeights) else w
        rows = rows if pair is None else rows.index_select(0, pair)
        if self._takes_cuequivariance(x) and edge_index.shape[1]:  # cuequivariance fails for zero edges
            return cuequivariance(self._cuequivariance, x, y, rows, edge_index, n_nodes)
        return plain(self._plain, x, y, rows, edge_index, n_nodes)

    def _takes_cuequivariance(self, x: Tensor) -> bool:
        if self.implementation == "auto":
            return x.device.type == "cuda" and not is_traced() and self._cuequivariance.fits
        return self.implementation == "cuequivariance"
