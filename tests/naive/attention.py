"""Equivariant attention by e3nn: a tensor product for each edge, messages stored, and a softmax by loops."""

import torch
from e3nn import o3
from torch import Tensor

from symnets.nn import Attention, Linear
from symnets.ops import AttentionProduct, from_e3nn, to_e3nn
from tests.naive.e3nn_signs import with_common_signs


def messages(product: AttentionProduct, x: Tensor, y: Tensor, w: Tensor, sender: Tensor) -> Tensor:
    """Messages of edges in e3nn's layout, slot by slot, from features in e3nn's layout."""
    plan = product.plan
    instructions = [(*path, "uvu", True) for path in plan.paths]
    e3nn = o3.TensorProduct(
        plan.irreps_in,
        plan.irreps_filter,
        plan.slots,
        instructions,
        shared_weights=False,
        internal_weights=False,
    )
    return with_common_signs(e3nn)(x[sender], y, w)


def by_heads(rows: Tensor, irreps: o3.Irreps, heads: int) -> list[Tensor]:
    """Rows in e3nn's layout as a list of (rows, heads, numbers), one for each irrep."""
    parts = rows.split([mul_ir.dim for mul_ir in irreps], dim=1)
    return [part.unflatten(1, (heads, -1)) for part in parts]


def attention_logits(
    product: AttentionProduct, q: Tensor, x: Tensor, y: Tensor, w: Tensor, edge_index: Tensor
) -> Tensor:
    """Inner products of queries and messages for each head; all features in the ir_mul layout."""
    irreps = product.plan.slots
    # Channels of merged slots are neighbours in both layouts.
    queries = to_e3nn(q, product.irreps_out)[edge_index[1]]
    keys = messages(product, to_e3nn(x, product.irreps_in1), y, w, edge_index[0])
    pairs = zip(by_heads(queries, irreps, product.heads), by_heads(keys, irreps, product.heads), strict=True)
    return sum((a * b).sum(-1) for a, b in pairs)  # pyright: ignore[reportReturnType]


def attention_sum(
    product: AttentionProduct, x: Tensor, y: Tensor, w: Tensor, a: Tensor, edge_index: Tensor, n_nodes: int
) -> Tensor:
    """Messages times the attention of their head, summed at the receivers, in the ir_mul layout."""
    irreps = product.plan.slots
    values = messages(product, to_e3nn(x, product.irreps_in1), y, w, edge_index[0])
    weighted = [(part * a[:, :, None]).flatten(1) for part in by_heads(values, irreps, product.heads)]
    rows = torch.cat(weighted, dim=1)
    return from_e3nn(
        rows.new_zeros(n_nodes, irreps.dim).index_add(0, edge_index[1], rows), product.irreps_out
    )


def linear(layer: Linear, rows: Tensor) -> Tensor:
    """A linear layer on rows in e3nn's layout, irrep by irrep."""
    parts = zip(rows.split([m.dim for m in layer.irreps_in], dim=1), layer.irreps_in, strict=True)
    blocks = {ir: part.unflatten(1, (mul, ir.dim)) for part, (mul, ir) in parts}
    weights = zip(layer.weights, layer.irreps_out, strict=True)
    out = [torch.einsum("ncm,cd->ndm", blocks[ir], w) / len(w) ** 0.5 for w, (_, ir) in weights]
    return torch.cat([part.flatten(1) for part in out], dim=1)


def attention(
    block: Attention, x: Tensor, basis: Tensor, y: Tensor, envelope: Tensor, edge_index: Tensor
) -> Tensor:
    """The block `Attention` on features in e3nn's layout, each edge with its own row of the basis."""
    (sender, receiver), heads = edge_index, block.heads
    features = linear(block.sender, x)
    key_weights, value_weights = block.radial(basis).split(block.numels, dim=1)
    keys = messages(block.logits, features, y, key_weights, sender)
    values = messages(block.sum, features, y, value_weights, sender)
    queries, key_irreps = linear(block.query, x)[receiver], block.logits.plan.slots
    pairs = zip(by_heads(queries, key_irreps, heads), by_heads(keys, key_irreps, heads), strict=True)
    width = key_irreps.dim / heads
    logits = sum((q * k).sum(-1) for q, k in pairs) / width**0.5
    irreps = block.sum.plan.slots
    rows = []
    for node in range(len(x)):
        edges = (receiver == node).nonzero().flatten()
        terms = envelope[edges, None] * logits[edges].exp()  # pyright: ignore
        weights = block.norm * terms / (1 + terms.sum(0))
        parts = [(w * weights[:, :, None]).sum(0) for w in by_heads(values[edges], irreps, heads)]
        rows.append(torch.cat([part.flatten() for part in parts]))
    return linear(block.output, torch.stack(rows))
