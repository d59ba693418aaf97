"""Conversion of MLPs, activations, dropout, norms and convolutions to modules of e3nn and back."""

from typing import Any

import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from symnets.nn._activations import Gate, NormActivation
from symnets.nn._convolution import Convolution
from symnets.nn._dropout import Dropout
from symnets.nn._e3nn_products import Counterpart, Views, refuse
from symnets.nn._mlp import MLP
from symnets.nn._norms import BatchNorm
from symnets.ops import release_sign

SILU = nn.functional.silu


class E3nnConvolution(nn.Module):
    """`Convolution` written with modules of e3nn, in e3nn's layout: messages are stored, then summed.

    Args:
        product: 'uvu' product of the sender's features and the filters, with weights for each edge.
        radial: network that computes the weights from the radial basis.
        norm: factor of the sums: (average number of neighbours)^(-1/2).
    """

    def __init__(self, product: o3.TensorProduct, radial: e3nn_nn.FullyConnectedNet, norm: float) -> None:
        super().__init__()
        self.product, self.radial, self.norm = product, radial, norm
        self.irreps_in, self.irreps_out = product.irreps_in1, product.irreps_out.simplify()

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        filters: Float[Tensor, "edges dim_filter"],
        basis: Float[Tensor, "edges n_basis"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Sum of the messages that each node receives, (nodes, irreps_out) in e3nn's layout."""
        sender, receiver = edge_index
        messages = self.product(features[sender], filters, self.radial(basis))
        out = messages.new_zeros(len(features), messages.shape[1])
        return self.norm * out.index_add(0, receiver, messages)


def _no_weights(block: nn.Module, module: nn.Module) -> Views:
    yield from ()


def _to_e3nn_mlp(block: MLP) -> e3nn_nn.FullyConnectedNet:
    shapes = [weight.shape for weight in block.weights]
    return e3nn_nn.FullyConnectedNet([shapes[0][0], *(shape[1] for shape in shapes)], SILU)


def _from_e3nn_mlp(module: e3nn_nn.FullyConnectedNet) -> MLP:
    *hidden, last = module
    refuse(
        "FullyConnectedNet",
        an_activation_is_not_silu=any(getattr(layer.act, "f", None) is not SILU for layer in hidden),
        its_output_is_activated=last.act is not None,
        its_variances_are_not_1=any(layer.var_in != 1 or layer.var_out != 1 for layer in module),
    )
    return MLP(*module.hs)


def _mlp_views(block: MLP, module: e3nn_nn.FullyConnectedNet) -> Views:
    for ours, layer in zip(block.weights, module, strict=True):
        yield ours, layer.weight, 1.0


def _to_e3nn_gate(block: Gate) -> nn.Module:
    scalars = [(mul, ir) for mul, ir in block.irreps_out if ir.l == 0]
    gated = [(mul, ir) for mul, ir in block.irreps_out if ir.l > 0]
    acts = [block.act if ir.p == 1 else block.odd_act for _, ir in scalars]
    gates = [(sum(mul for mul, _ in gated), "0e")] if gated else []
    gate = e3nn_nn.Gate(scalars, acts, gates, [block.gate_act] * len(gates), gated)
    before, after = (
        _permutation(block.irreps_in, gate.irreps_in),
        _permutation(gate.irreps_out, block.irreps_out),
    )
    return gate if before is after is None else nn.Sequential(*filter(None, (before, gate, after)))


def _permutation(irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> nn.Module | None:
    """Module of e3nn that reorders irreps; None if they are equal."""
    if irreps_in == irreps_out:
        return None
    order = tuple(list(irreps_in).index(block) for block in irreps_out)
    return e3nn_nn.Extract(irreps_in, [irreps_out], [order], squeeze_out=True)


def _from_e3nn_gate(module: e3nn_nn.Gate) -> Gate:
    irreps = module.act_scalars.irreps_in
    acts: list[Any] = [getattr(act, "f", None) for act in module.act_scalars.acts]
    gate_acts: list[Any] = [getattr(act, "f", None) for act in module.act_gates.acts]
    one_block = [(module.irreps_gated.num_irreps, "0e")] if module.irreps_gated else []
    refuse(
        "Gate",
        irreps_of_its_output_are_repeated=len({ir for _, ir in module.irreps_out}) < len(module.irreps_out),
        an_activation_is_the_identity=None in (*acts, *gate_acts),
        an_activation_of_odd_scalars_is_even=irreps != module.act_scalars.irreps_out,
        gates_are_odd_or_in_several_blocks=module.irreps_gates != o3.Irreps(one_block),
    )
    of_parity = {ir.p: act for (_, ir), act in zip(irreps, acts, strict=True)}
    return Gate(
        module.irreps_out,
        act=of_parity.get(1, SILU),
        odd_act=of_parity.get(-1, torch.tanh),
        gate_act=gate_acts[0] if gate_acts else SILU,
        irreps_in=module.irreps_in,
    )


def _to_e3nn_norm_activation(block: NormActivation) -> e3nn_nn.NormActivation:
    return e3nn_nn.NormActivation(
        block.irreps_in, block.act, epsilon=block.eps, bias=block.biases is not None
    )


def _from_e3nn_norm_activation(module: e3nn_nn.NormActivation) -> NormActivation:
    refuse("NormActivation", normalize_is_False=not module.normalize)
    act, eps = module.scalar_nonlinearity, module.epsilon
    return NormActivation(module.irreps_in, act, bias=module.bias, eps=eps)


def _to_e3nn_batch_norm(block: BatchNorm) -> e3nn_nn.BatchNorm:
    return e3nn_nn.BatchNorm(block.irreps_in, block.eps, block.momentum, block.weight is not None)


def _from_e3nn_batch_norm(module: e3nn_nn.BatchNorm) -> BatchNorm:
    include_bias = getattr(module, "include_bias", True)  # e3nn 0.4 always includes it
    refuse(
        "BatchNorm",
        instance_is_True=module.instance,
        include_bias_is_False=module.affine and not include_bias,
        normalization_is_norm=module.normalization != "component",
    )
    return BatchNorm(module.irreps, eps=module.eps, momentum=module.momentum, affine=module.affine)


def _same_names(block: nn.Module, module: nn.Module) -> Views:
    """Parameters and buffers that have the same names and shapes in both modules."""
    theirs = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, ours in (*block.named_parameters(), *block.named_buffers()):
        yield ours, theirs[name], 1.0


def _to_e3nn_convolution(block: Convolution) -> E3nnConvolution:
    plan = block.product.plan
    instructions = [(*path, "uvu", True) for path in plan.paths]
    product = o3.TensorProduct(
        plan.irreps_in, plan.irreps_filter, plan.slots, instructions, shared_weights=False
    )
    return E3nnConvolution(product, _to_e3nn_mlp(block.radial), block.norm)


def _from_e3nn_convolution(module: E3nnConvolution) -> Convolution:
    radial, product = _from_e3nn_mlp(module.radial), module.product
    n_basis, *hidden, _ = module.radial.hs
    block = Convolution(
        product.irreps_in1,
        product.irreps_in2,
        product.irreps_out,
        n_basis=n_basis,
        radial_hidden=hidden,
        mean_neighbors=module.norm**-2,
    )
    mine, full = ([i[:5] for i in tp.instructions] for tp in (product, _to_e3nn_convolution(block).product))
    refuse("E3nnConvolution", its_paths_are_not_all_or_in_another_order=mine != full)
    block.radial = radial
    return block


def _convolution_views(block: Convolution, module: E3nnConvolution) -> Views:
    *hidden, (ours, theirs, scale) = _mlp_views(block.radial, module.radial)
    yield from hidden
    plan = block.product.plan
    widths = [plan.channels(n) for n in range(len(plan.paths))]
    for path, own, other in zip(plan.paths, ours.split(widths, 1), theirs.split(widths, 1), strict=True):
        i, j, k = path
        degrees = plan.irreps_in[i].ir.l, plan.irreps_filter[j].ir.l, plan.slots[k].ir.l
        yield own, other, scale * release_sign(*degrees)


LAYERS = [
    Counterpart(MLP, e3nn_nn.FullyConnectedNet, _to_e3nn_mlp, _from_e3nn_mlp, _mlp_views),
    Counterpart(Gate, e3nn_nn.Gate, _to_e3nn_gate, _from_e3nn_gate, _no_weights),
    Counterpart(
        NormActivation,
        e3nn_nn.NormActivation,
        _to_e3nn_norm_activation,
        _from_e3nn_norm_activation,
        _same_names,
    ),
    Counterpart(
        Dropout,
        e3nn_nn.Dropout,
        lambda block: e3nn_nn.Dropout(block.irreps_in, block.p),
        lambda module: Dropout(module.irreps, module.p),
        _no_weights,
    ),
    Counterpart(BatchNorm, e3nn_nn.BatchNorm, _to_e3nn_batch_norm, _from_e3nn_batch_norm, _same_names),
    Counterpart(
        Convolution, E3nnConvolution, _to_e3nn_convolution, _from_e3nn_convolution, _convolution_views
    ),
]
