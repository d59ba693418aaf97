"""Attention: equivariant attention to neighbours, which goes smoothly to zero at the cutoff."""

from collections.abc import Sequence

from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._edges import Edges, required_envelope
from symnets.nn._linear import Linear
from symnets.nn._mlp import MLP
from symnets.nn._modification import modification
from symnets.ops import AttentionLogits, AttentionSum, RadialTable, SplineWeights, all_paths


class Attention(nn.Module):
    """Equivariant attention: messages of neighbours, weighted by a softmax of invariant logits in each head:

        q_i = Q x_i,     k_ij = (S x_j) ⊗_{w(r_ij)} Y(r̂_ij),     v_ij = (S x_j) ⊗_{w'(r_ij)} Y(r̂_ij)
        s_ij = d^(-1/2) <q_i, k_ij>,     α_ij = u(r_ij) exp(s_ij) / (1 + Σ_j' u(r_ij') exp(s_ij'))
        out_i = O (mean_neighbors^(1/2) Σ_j α_ij v_ij)

    with linear layers Q, S and O that mix channels, spherical harmonics Y of the direction from the receiver
    i to the sender j, weights w and w' of the tensor products that one MLP computes from the radial basis,
    and the envelope u. The channels of every irrep are divided into heads. Each head has its own s and α: the
    inner product is over the d components of q and k in the channels of the head, and α multiplies v in these
    channels.

    The envelope u is 1 at r = 0. At the cutoff u, w and w' vanish with their first two derivatives. The 1 in
    the denominator acts like one more neighbour of logit 0 and value 0. A neighbour that crosses the cutoff
    therefore has α = 0, even if it is the only one, and out is twice differentiable. Nodes without neighbours
    get zeros. With random weights α is about 1 / mean_neighbors, and the sum has unit variance.

    Keys and values are computed by fused loops (`AttentionLogits`, `AttentionSum`) and not stored.

    Source: Fuchs et al. 2020, arXiv:2006.10503, section 3.2. Differences: in the paper every pair of channels
    has a radial function, here every channel and path has one, between linear layers; in the paper α is a
    softmax over the neighbours alone, which jumps if one crosses the cutoff.

    Args:
        irreps_in: irreps of the features x, each irrep once.
        irreps_filter: irreps of the spherical harmonics Y.
        targets: irreps of the result, each once; those that no path reaches are left out.
        heads: number of heads, a divisor of the number of channels of every irrep of x.
        n_basis: size of the radial basis.
        radial_hidden: widths of the hidden layers of the radial MLP.
        mean_neighbors: average number of neighbours in the training data.

    Attributes:
        irreps_out: irreps of the result.

    Raises:
        ValueError: heads that do not divide the channels, or no path to `targets`.
    """

    def __init__(
        self,
        irreps_in: o3.Irreps | str,
        irreps_filter: o3.Irreps | str,
        targets: o3.Irreps | str,
        *,
        heads: int,
        n_basis: int,
        radial_hidden: Sequence[int],
        mean_neighbors: float,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_filter = o3.Irreps(irreps_in), o3.Irreps(irreps_filter)
        key_slots, key_paths = all_paths(irreps_in, irreps_filter, irreps_in)
        value_slots, value_paths = all_paths(irreps_in, irreps_filter, targets)
        if not key_paths or not value_paths:
            raise ValueError(
                f"Attention: no path leads from {irreps_in} ⊗ {irreps_filter} to {irreps_in} (keys), or none "
                f"to {targets} (values)"
            )
        self.irreps_out = o3.Irreps(
            [(mul, ir) for mul, ir in o3.Irreps(targets) if any(ir == slot.ir for slot in value_slots)]
        )
        self.logits = AttentionLogits(irreps_in, irreps_filter, key_slots, key_paths, heads=heads)
        self.sum = AttentionSum(irreps_in, irreps_filter, value_slots, value_paths, heads=heads)
        self.query = Linear(irreps_in, self.logits.irreps_out)
        self.sender = Linear(irreps_in, irreps_in)
        self.output = Linear(self.sum.irreps_out, self.irreps_out)
        # One network computes the weights of keys and values; they share all matrices but the last.
        self.numels = [self.logits.weight_numel, self.sum.weight_numel]
        self.radial = MLP(n_basis, *radial_hidden, sum(self.numels))
        self.heads = heads
        self.logit_scale = (self.logits.irreps_out.dim / heads) ** -0.5
        self.norm = mean_neighbors**0.5

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features that each node receives.

        Raises:
            ValueError: `edges` has no envelope; make it with `EdgeGeometry(..., envelope=True)`.
        """
        # Two matrix products give contiguous weights, but would bypass hooks on the MLP.
        if modification(self.radial, MLP) is None:
            hidden, matrix = self.radial.last_layer(edges.basis)
            key_weights, value_weights = (hidden @ part for part in matrix.split(self.numels, dim=1))
        else:
            key_weights, value_weights = self.radial(edges.basis).split(self.numels, dim=1)
        return self.attend(features, edges, edge_index, key_weights, value_weights)

    def attend(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
        key_weights: Float[Tensor, "rows keys"] | SplineWeights,
        value_weights: Float[Tensor, "rows values"] | SplineWeights,
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features that each node receives, with given radial weights w and w'.

        Raises:
            ValueError: `edges` has no envelope, as in `forward`.
        """
        envelope, n_nodes = required_envelope(edges), len(features)
        senders, filters, pair = self.sender(features), edges.filters, edges.pair
        logits = self.logits(self.query(features), senders, filters, key_weights, edge_index, pair)
        attention = softmax_over_neighbors(self.logit_scale * logits, envelope, edge_index[1], n_nodes)
        attention = self.norm * attention
        messages = self.sum(senders, filters, value_weights, attention, edge_index, n_nodes, pair)
        return self.output(messages)


class TabulatedAttention(nn.Module):
    """`Attention` for inference, with cubic splines of the distance in place of its radial network.

    The compiled loops interpolate the weights of each edge and do not store them.

    Args:
        attention: trained attention; its radial network is removed from it.
        keys: table of the weights w of keys as functions of the distance.
        values: table of the weights w' of values.
    """

    def __init__(self, attention: Attention, keys: RadialTable, values: RadialTable) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = attention.irreps_in, attention.irreps_out
        self.attention, self.keys, self.values = attention, keys, values
        del attention.radial

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        edges: Edges,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Features that each node receives; `edges.basis` holds the distances."""
        distances, kind = edges.basis[:, 0], edges.kind
        weights = (SplineWeights(table, distances, kind) for table in (self.keys, self.values))
        return self.attention.attend(features, edges, edge_index, *weights)


def softmax_over_neighbors(
    logits: Float[Tensor, "edges heads"],
    envelope: Float[Tensor, " edges"],
    receiver: Int[Tensor, " edges"],
    n_nodes: int,
) -> Float[Tensor, "edges heads"]:
    """Softmax of logits s over the edges of each receiver, with an envelope u and an additional logit 0:

    α_e = u_e exp(s_e) / (1 + Σ_{e': receiver(e') = receiver(e)} u_e' exp(s_e')).
    """
    # The largest exponent of each node is subtracted from all of them; the result does not depend on it.
    largest = logits.new_zeros(n_nodes, logits.shape[1]).scatter_reduce(
        0, receiver[:, None].expand_as(logits), logits.detach(), "amax"
    )
    terms = envelope[:, None] * (logits - largest.index_select(0, receiver)).exp()
    total = (-largest).exp().index_add(0, receiver, terms)
    return terms / total.index_select(0, receiver)
