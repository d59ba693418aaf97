"""Allegro's layer in loops over edges, with e3nn's tensor products and linear layers."""

import torch
from e3nn import o3
from torch import Tensor

from symnets.nn import MLP, Edges, PairInteraction
from symnets.nn._mlp import SILU_NORM
from symnets.nn._pair_interaction import RESIDUAL
from symnets.ops import to_e3nn
from tests.naive.e3nn_signs import with_common_signs


def mlp(net: MLP, x: Tensor) -> Tensor:
    """A perceptron of unit variance, layer by layer."""
    for n, weight in enumerate(net.weights):
        x = (x if n == 0 else SILU_NORM * torch.nn.functional.silu(x)) @ weight / len(weight) ** 0.5
    return x


def environments(
    layer: PairInteraction, scalars: Tensor, filters: Tensor, centres: Tensor, n_nodes: int
) -> Tensor:
    """A_i = n^(-1/2) Σ_k (x_ik W)_lc Y_lm(r_ik), rows in e3nn's layout (l, channel, m)."""
    irreps = layer.environment.irreps_in2
    channels = layer.irreps_in[0].mul
    sums = torch.zeros(n_nodes, channels * irreps.dim, dtype=scalars.dtype)
    for x, y, i in zip(scalars, filters, centres.tolist(), strict=True):
        weights = (x @ layer.environment_weights).view(len(irreps), channels)
        parts = [torch.outer(w, y[part]).flatten() for w, part in zip(weights, irreps.slices(), strict=True)]
        sums[i] += torch.cat(parts) * layer.environment_norm
    return sums


def product(irreps_in1: o3.Irreps, irreps_in2: o3.Irreps, targets: o3.Irreps) -> o3.TensorProduct:
    """All paths channel by channel ('uuu', without weights), each into its own slot."""
    instructions, slots = [], []
    for out in dict.fromkeys(ir for _, ir in targets):
        for i, (mul, a) in enumerate(irreps_in1):
            for j, (_, b) in enumerate(irreps_in2):
                if out in a * b:
                    instructions.append((i, j, len(slots), "uuu", False))
                    slots.append((mul, out))
    return with_common_signs(o3.TensorProduct(irreps_in1, irreps_in2, slots, instructions))


def pair_interaction(
    layer: PairInteraction,
    scalars: Tensor,
    tensors: Tensor,
    edges: Edges,
    edge_index: Tensor,
    n_nodes: int,
) -> tuple[Tensor, Tensor]:
    """Updated scalars, and tensors in e3nn's layout."""
    environment = environments(layer, scalars, edges.filters, edge_index[1], n_nodes)
    targets = o3.Irreps("0e") + layer.irreps_out
    times = product(layer.irreps_in, layer.product.irreps_in2, targets)
    mixed = o3.Linear(times.irreps_out, layer.irreps_out) if layer.irreps_out else None
    if mixed is not None:  # e3nn keeps one matrix for each pair of slots, in the order of the input's slots
        channels, starts, rows = layer.irreps_in[0].mul, {}, []
        for _, ir in times.irreps_out:
            for weight, (_, out) in zip(layer.mix.weights, layer.irreps_out, strict=True):
                if out == ir:
                    start = starts.get(ir, 0)
                    rows.append(weight[start : start + channels].flatten())
                    starts[ir] = start + channels
        mixed.weight.data = torch.cat(rows).detach()
    new_scalars, new_tensors = [], []
    tensors = to_e3nn(tensors, layer.irreps_in)
    for edge, i in enumerate(edge_index[1].tolist()):
        t = times(tensors[edge], environment[i])
        n_even = sum(mul for mul, ir in times.irreps_out if ir == o3.Irrep("0e"))
        update = edges.envelope[edge] * mlp(layer.update, torch.cat([scalars[edge], t[:n_even]])[None])[0]
        new_scalars.append((scalars[edge] + RESIDUAL * update) / (1 + RESIDUAL**2) ** 0.5)
        new_tensors.append(t[:0] if mixed is None else mixed(t))
    return torch.stack(new_scalars), torch.stack(new_tensors)
