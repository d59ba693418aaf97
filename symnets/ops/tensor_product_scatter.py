"""TensorProductScatter: e3nn's per-edge tensor product, summed over the edges of each receiver."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops.fused import FusedPlan, fused
from symnets.ops.linear_weights import LinearWeights, fused_linear
from symnets.ops.paths import Plan
from symnets.ops.plain import PlainPlan, plain
from symnets.ops.transformed import transformed


class TensorProductScatter(nn.Module):
    """The convolution of equivariant message passing, with weights given per edge and channel.

    With paths p = (input irrep, filter irrep, output slot) and Clebsch-Gordan coefficients CG,

        out[i, (s, k), c] = Σ_{e: receiver(e)=i} Σ_{p -> s} Σ_{a, b}
                            CG_p[a, b, k] x[sender(e), (p, a), c] Y[e, b] w[e, p, c].

    This is `e3nn.o3.TensorProduct` with 'uvu' instructions and `shared_weights=False`, followed
    by a sum over edges, in the `ir_mul` layout. CG_p = (dim_out / n_paths(s))^(1/2) wigner_3j,
    with n_paths(s) the number of paths into slot s: e3nn's 'component' and 'element'
    normalisation. Neighbouring output slots of equal irrep are returned as one block: the layout
    is that of `irreps_out`, which is `slots.simplify()`.

    Args:
        irreps_in: irreps of the node features x.
        irreps_filter: irreps of the filter Y, multiplicity one each.
        slots: irreps of the output slots; a slot has as many channels as its inputs.
        paths: triples (input slot, filter slot, output slot).
        implementation: "fused" (compiled CPU kernels, no message is stored), "plain" (torch, any
            device), or "auto": fused on the CPU in float32 and float64, else plain.

    Attributes:
        weight_numel: length of an edge's weight row: the channels of path 0, then of path 1, ...
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        slots: o3.Irreps | str,
        paths: Iterable[Sequence[int]],
        *,
        implementation: Literal["auto", "fused", "plain"] = "auto",
    ) -> None:
        super().__init__()
        self.plan = Plan(irreps_in, irreps_filter, slots, paths)
        self.irreps_in, self.irreps_filter = self.plan.irreps_in, self.plan.irreps_filter
        self.irreps_out, self.weight_numel = self.plan.irreps_out, self.plan.weight_numel
        self.implementation = implementation
        self._fused, self._plain = FusedPlan(self.plan), PlainPlan(self.plan)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        weights: Float[Tensor, "edges weight_numel"] | LinearWeights,
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
    ) -> Float[Tensor, "n_nodes dim_out"]:
        """Sums over the edges of each receiver."""
        n_nodes_in, n_edges = features.shape[0], edge_index.shape[1]
        linear = isinstance(weights, LinearWeights)
        expected = {
            "features": (features, (n_nodes_in, self.irreps_in.dim)),
            "filters": (filters, (n_edges, self.irreps_filter.dim)),
        }
        if linear:
            n_hidden = weights.matrix.shape[0]
            expected["hidden"] = weights.hidden, (n_edges, n_hidden)
            expected["matrix"] = weights.matrix, (n_hidden, self.weight_numel)
        else:
            expected["weights"] = weights, (n_edges, self.weight_numel)
        for name, (tensor, shape) in expected.items():
            if tensor.shape != shape or tensor.dtype != features.dtype:
                raise ValueError(
                    f"{name}: expected shape {shape} and dtype {features.dtype}, "
                    f"got {tuple(tensor.shape)} and {tensor.dtype}"
                )
        if self.implementation == "fused" or (self.implementation == "auto" and fusable(features)):
            loops = fused_linear if linear else fused
            return loops(self._fused, features, filters, weights, edge_index, n_nodes)  # pyright: ignore
        if linear:
            weights = weights.rows()
        return plain(self._plain, features, filters, weights, edge_index, n_nodes)


def fusable(features: Tensor) -> bool:
    """Whether the compiled loops can take a tensor."""
    on_cpu = features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64)
    return on_cpu and not transformed()
