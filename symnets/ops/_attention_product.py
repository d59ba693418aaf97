"""The two operations of equivariant attention: logits of edges, and sums over edges weighted by attention."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.ops._adjacency import adjacency
from symnets.ops._implementation import Implementation, check_edges, check_option, check_tensors, use_fused
from symnets.ops._instructions import plan_of
from symnets.ops._plain import PlainPlan, plain
from symnets.ops._scaled_product import ScaledPlan, scaled_overlaps, scaled_sum
from symnets.ops._scaled_sum import factor_starts
from symnets.ops._tabulated_product import SplineWeights
from symnets.ops._weight_code import WeightSplines


class AttentionProduct(nn.Module):
    """Base class of `AttentionLogits` and `AttentionSum`: messages of edges, divided into heads by channels.

    The message of edge e is `TensorProductScatter`'s, with the same normalisations ("component", "element"):

        m[e, (s, k), c] = Σ_{p -> s} Σ_{a, b} CG_p[a, b, k] x[sender(e), (p, a), c] Y[e, (p, b)] w[e, p, c].

    The n channels of every slot s are divided into heads of n / heads neighbouring channels. All features
    are in the `ir_mul` layout. Both operations are differentiable to any order.

    Args:
        irreps_in1: irreps of the node features x.
        irreps_in2: irreps of the filter Y of each edge, usually spherical harmonics, of multiplicity one.
        irreps_out: irreps of the slots s; neighbouring slots of equal irrep are one block of a row.
        instructions: e3nn's `(i_in1, i_in2, i_out, "uvu", True[, path_weight])`, or triples of numbers.
        heads: number of heads.
        implementation: "fused" (compiled, CPU, float32 and float64; messages are not stored), "plain" (torch,
            any device and dtype), or "auto": "fused" on the CPU outside of `torch.func` and `torch.compile`.

    Attributes:
        irreps_out: irreps of a row of messages.
        weight_numel: number of weights w of an edge: the channels of path 0, then of path 1, ...
        plan: the product.

    Raises:
        ValueError: instructions that O(3) forbids or that do not fit the irreps, a filter with a
            multiplicity, or channels that cannot be divided into heads.
    """

    _head_of_column: Tensor

    def __init__(
        self,
        irreps_in1: o3.Irreps | str,
        irreps_in2: o3.Irreps | str,
        irreps_out: o3.Irreps | str,
        instructions: Iterable[Sequence[Any]],
        *,
        heads: int,
        implementation: Implementation = "auto",
    ) -> None:
        super().__init__()
        check_option("implementation", implementation, Implementation)
        self.irreps_in1, self.irreps_in2 = o3.Irreps(irreps_in1), o3.Irreps(irreps_in2)
        slots = o3.Irreps(irreps_out)
        if any(mul != 1 for mul, _ in self.irreps_in2):
            raise ValueError(f"irreps_in2: expected multiplicities of one, got {self.irreps_in2}")
        if heads < 1 or any(mul % heads for mul, _ in slots):
            raise ValueError(
                f"heads: expected a number that divides the channels of every irrep of {slots}, got {heads}"
            )
        self.plan, _ = plan_of(self.irreps_in1, self.irreps_in2, slots, instructions, "component", "element")
        self.irreps_out, self.weight_numel = self.plan.irreps_out, self.plan.weight_numel
        self.heads, self.implementation = heads, implementation
        # Paths with equal numbers of channels share factors, one for each channel.
        self._channels = list(factor_starts(self.plan))
        head_of_column = torch.empty(self.irreps_out.dim, dtype=torch.int64)
        for (mul, ir), (start, step) in zip(self.plan.slots, self.plan.slot_columns, strict=True):
            columns = start + step * torch.arange(ir.dim)[:, None] + torch.arange(mul)
            head_of_column[columns] = torch.arange(mul) // (mul // heads)
        self.register_buffer("_head_of_column", head_of_column, persistent=False)
        self._fused, self._plain = ScaledPlan(self.plan), PlainPlan(self.plan)
        self._splines = ScaledPlan(self.plan, WeightSplines)

    def _check(
        self,
        features: Tensor,
        filters: Tensor,
        weights: Tensor | SplineWeights,
        edge_index: Tensor,
        pair: Tensor | None,
        **others: tuple[Tensor, tuple[int, int]],
    ) -> None:
        check_edges(edge_index, pair)
        n_edges = edge_index.shape[1]
        n_rows = n_edges if pair is None else _n_rows(weights)
        expected: dict[str, tuple[Tensor, tuple[int, ...]]] = {
            "features": (features, (len(features), self.irreps_in1.dim)),
            "filters": (filters, (n_edges, self.irreps_in2.dim)),
        }
        if isinstance(weights, SplineWeights):
            if weights.table.n_functions != self.weight_numel:
                raise ValueError(
                    f"weights: expected a table of {self.weight_numel} functions, got one of "
                    f"{weights.table.n_functions}"
                )
            table = weights.table.table
            expected |= {"distances": (weights.distances, (n_rows,)), "table": (table, tuple(table.shape))}
        else:
            expected["weights"] = (weights, (n_rows, self.weight_numel))
        check_tensors(features, expected | others)

    def _plan_for(self, weights: Tensor | SplineWeights) -> ScaledPlan:
        return self._splines if isinstance(weights, SplineWeights) else self._fused


class AttentionLogits(AttentionProduct):
    """Inner products of the receiver's queries with the message of each edge, for each head h:

        logits[e, h] = Σ_{s, k} Σ_{c in h} q[receiver(e), (s, k), c] m[e, (s, k), c].

    See `AttentionProduct` for m and the arguments of the constructor. The messages, keys of the attention,
    are computed edge by edge and not stored. The logits are invariant under O(3).

    Source: Fuchs et al. 2020, arXiv:2006.10503, eq. 10 and 11, for one kernel of their keys.
    """

    def forward(
        self,
        queries: Float[Tensor, "n_nodes dim_out"],
        features: Float[Tensor, "nodes dim_in1"],
        filters: Float[Tensor, "edges dim_in2"],
        weights: Float[Tensor, "rows weight_numel"] | SplineWeights,
        edge_index: Int[Tensor, "2 edges"],
        pair: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "edges heads"]:
        """Logits of all edges and heads.

        Args:
            queries: q, a row of irreps `irreps_out` for each receiver.
            features: x, a row for each node that may send.
            filters: Y.
            weights: w; or splines of the distance, with which the fused loops are differentiable once.
            edge_index: senders, then receivers.
            pair: row of `weights` of each edge, see `symnets.ops.pairs`; None if edge e has row e.

        Raises:
            ValueError: wrong shapes, dtypes or devices, or nodes out of range.
        """
        others = {"queries": (queries, (len(queries), self.irreps_out.dim))}
        self._check(features, filters, weights, edge_index, pair, **others)
        if use_fused(self.implementation, features):
            edges = adjacency(edge_index, pair, (len(features), len(queries), _n_rows(weights)))
            overlaps = scaled_overlaps(self._plan_for(weights), queries, features, filters, weights, edges)
            parts = overlaps.split(self._channels, dim=1)
            first, *others = [part.unflatten(1, (self.heads, -1)).sum(-1) for part in parts]
            return sum(others, first)
        sender, receiver = edge_index.unbind()
        rows = weights.rows() if isinstance(weights, SplineWeights) else weights
        rows = rows if pair is None else rows.index_select(0, pair)
        itself = torch.stack([sender, torch.arange(len(sender), device=sender.device)])
        messages = plain(self._plain, features, filters, rows, itself, len(sender))
        products = queries.index_select(0, receiver) * messages
        logits = products.new_zeros(len(sender), self.heads)
        return logits.index_add(1, self._head_of_column, products)


class AttentionSum(AttentionProduct):
    """Messages of edges times the attention of their head, summed over the edges of each receiver:

        out[i, (s, k), c] = Σ_{e: receiver(e)=i} α[e, h(c)] m[e, (s, k), c].

    See `AttentionProduct` for m and the arguments of the constructor. The messages are the values of the
    attention.

    Source: Fuchs et al. 2020, arXiv:2006.10503, eq. 10.
    """

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in1"],
        filters: Float[Tensor, "edges dim_in2"],
        weights: Float[Tensor, "rows weight_numel"] | SplineWeights,
        attention: Float[Tensor, "edges heads"],
        edge_index: Int[Tensor, "2 edges"],
        n_nodes: int,
        pair: Int[Tensor, " edges"] | None = None,
    ) -> Float[Tensor, "n_nodes dim_out"]:
        """Sums over the edges of each receiver.

        Args:
            features: x, a row for each node that may send.
            filters: Y.
            weights: w; or splines of the distance, with which the fused loops are differentiable once.
            attention: α.
            edge_index: senders, then receivers: rows of `features` and of the result.
            n_nodes: rows of the result.
            pair: row of `weights` of each edge, see `symnets.ops.pairs`; None if edge e has row e.

        Raises:
            ValueError: wrong shapes, dtypes or devices, or nodes out of range.
        """
        others = {"attention": (attention, (edge_index.shape[1], self.heads))}
        self._check(features, filters, weights, edge_index, pair, **others)
        if use_fused(self.implementation, features):
            edges = adjacency(edge_index, pair, (len(features), n_nodes, _n_rows(weights)))
            factors = self._of_channels(attention, self._channels)
            return scaled_sum(self._plan_for(weights), features, filters, weights, factors, edges)
        rows = weights.rows() if isinstance(weights, SplineWeights) else weights
        rows = rows if pair is None else rows.index_select(0, pair)
        channels = [self.plan.channels(number) for number in range(len(self.plan.paths))]
        rows = rows * self._of_channels(attention, channels)
        return plain(self._plain, features, filters, rows, edge_index, n_nodes)

    def _of_channels(self, attention: Tensor, channels: list[int]) -> Tensor:
        """Attention of each channel, for paths of these numbers of channels."""
        parts = {n: attention[:, :, None].expand(-1, -1, n // self.heads).flatten(1) for n in set(channels)}
        return torch.cat([parts[n] for n in channels], dim=1) if len(channels) > 1 else parts[channels[0]]


def _n_rows(weights: Tensor | SplineWeights) -> int:
    return len(weights.distances if isinstance(weights, SplineWeights) else weights)
