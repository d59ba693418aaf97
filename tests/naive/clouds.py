"""Networks on point clouds in loops over points, as their papers write them."""

import torch
from e3nn import o3
from torch import Tensor

from symnets.data import AtomGraph
from symnets.models import EGNN
from symnets.models._tensor_field_network import SMOOTHING, TensorFieldLayer
from symnets.nn import Edges, polynomial_envelope
from symnets.ops import to_e3nn
from tests.naive.e3nn_signs import with_common_signs

silu = torch.nn.functional.silu


def egnn_features(net: EGNN, graph: AtomGraph) -> tuple[Tensor, Tensor]:
    """Scalars and displacements of the points in units of the radius (Satorras et al., eqs. 3 to 6).

    All pairs of points are visited; those beyond the radius have a message of zero.
    """
    h = net.embedding[net.species_index(graph.z)]
    start = graph.pos / net.cutoff
    x, n = start.clone(), len(h)
    for layer in net.layers:
        total, moved = torch.zeros_like(h), x.clone()
        for i in range(n):
            for j in range(n):
                r = (start[j] - start[i]).norm()  # of the cloud as it was given
                if i == j or r >= 1:
                    continue
                b = net.basis(net.cutoff * r[None])[0]
                d = torch.cat([(x[j] - x[i]).square().sum()[None], b])
                first = layer.of_receiver(h[i]) + layer.of_sender(h[j]) + layer.of_edge(d)
                message = polynomial_envelope(r) * layer.message(first)
                total[i] += message * layer.norm
                if layer.step is not None:
                    moved[i] += layer.norm * polynomial_envelope(r) * layer.step(message) * (x[j] - x[i])
        h = h + layer.update(torch.cat([h, total], dim=1))
        x = moved
    return h, x - start


def tensor_field_layer(
    layer: TensorFieldLayer, features: Tensor, edges: Edges, edge_index: Tensor, species: Tensor
) -> Tensor:
    """Result of a layer in e3nn's layout: e3nn's tensor product for each edge, then sums over edges."""
    product = layer.convolution.product
    plan, irreps = product.plan, layer.irreps_in
    tensor_product = o3.TensorProduct(
        plan.irreps_in,
        plan.irreps_filter,
        plan.slots,
        [(*path, "uvu", True) for path in plan.paths],
        shared_weights=False,
        internal_weights=False,
    )
    with_common_signs(tensor_product)
    mixed = to_e3nn(layer.before(features), irreps)
    n = len(features)
    sums = [torch.zeros(n, mul, ir.dim, dtype=features.dtype) for mul, ir in plan.slots]
    for e, (j, i) in enumerate(edge_index.T.tolist()):
        basis = edges.basis[e if edges.pair is None else edges.pair[e]]
        weights = layer.convolution.radial(basis[None])
        message = tensor_product(mixed[j : j + 1], edges.filters[e : e + 1], weights)[0]
        for total, part, (mul, ir) in zip(
            sums, message.split([s.dim for s in plan.slots]), plan.slots, strict=True
        ):
            total[i] += layer.convolution.norm * part.view(mul, ir.dim)
    rows = []
    for k, (mul, ir) in enumerate(layer.irreps_out):
        channels = torch.cat([t for t, slot in zip(sums, plan.slots, strict=True) if slot.ir == ir], dim=1)
        after = layer.after.weights[k]
        x = torch.einsum("nci,cd->ndi", channels, after) / len(after) ** 0.5
        own = layer.own.weights[k]
        if ir in [other for _, other in irreps]:
            before = to_e3nn(features, irreps)[:, irreps.slices()[[o for _, o in irreps].index(ir)]]
            x = (
                x
                + torch.einsum("nci,ncd->ndi", before.view(n, -1, ir.dim), own[species]) / own.shape[1] ** 0.5
            )
        bias = layer.nonlinearity.biases[k][:, None]
        if ir == o3.Irrep("0e"):
            x = silu(x + bias)
        else:
            norm = (x.square().sum(2, keepdim=True) / ir.dim + SMOOTHING**2).sqrt()
            x = silu(norm + bias) * x
        rows.append(x.reshape(n, mul * ir.dim))
    return torch.cat(rows, dim=1)
