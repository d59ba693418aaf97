"""Blocks and the modules of e3nn made from them compute the same, and come back with their weights."""

import copy

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from torch import nn

from symnets.nn import (
    MLP,
    BatchNorm,
    Convolution,
    Dropout,
    Edges,
    FullyConnectedTensorProduct,
    Gate,
    LayerNorm,
    Linear,
    NormActivation,
    SpeciesLinear,
    TensorSquare,
    as_e3nn,
    from_e3nn_module,
)
from symnets.ops import from_e3nn, to_e3nn

IRREPS = o3.Irreps("4x0e+2x0o+3x1o+1x1e")
OUT = o3.Irreps("3x0e+2x1o+2x1e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def trained(block: nn.Module) -> nn.Module:
    for tensor in (*block.parameters(), *block.buffers()):
        tensor.data.copy_(torch.rand_like(tensor) + 0.5)
    return block.eval()


BLOCKS = {
    "Linear": lambda: Linear(IRREPS + IRREPS[:1], OUT),
    "Linear with biases": lambda: Linear(IRREPS, OUT, bias=True),
    "FullyConnectedTensorProduct": lambda: FullyConnectedTensorProduct(IRREPS, "2x0e+1x1o", OUT),
    "TensorSquare": lambda: TensorSquare(IRREPS, OUT),
    "MLP": lambda: MLP(4, 8, 8, 3),
    "Gate": lambda: Gate("4x0e+3x1o+1x2e"),
    "Gate, other order": lambda: Gate("4x0e+2x1o+2x0o+1x1e", gate_act=torch.sigmoid),
    "NormActivation": lambda: NormActivation(IRREPS, torch.tanh, eps=1e-8),
    "BatchNorm": lambda: BatchNorm(IRREPS),
    "BatchNorm without affine": lambda: BatchNorm(IRREPS, affine=False),
    "Dropout": lambda: Dropout(IRREPS, 0.3),
    "Sequential": lambda: nn.Sequential(
        Linear(IRREPS, "7x0e+3x1o"), Gate("4x0e+3x1o"), BatchNorm("4x0e+3x1o")
    ),
}


def irreps_in_and_out(block: nn.Module) -> tuple[list[o3.Irreps], o3.Irreps]:
    if isinstance(block, nn.Sequential):
        return [block[0].irreps_in], block[-1].irreps_out
    if isinstance(block, MLP):
        return [o3.Irreps(f"{block.weights[0].shape[0]}x0e")], o3.Irreps(f"{block.weights[-1].shape[1]}x0e")
    if isinstance(block, FullyConnectedTensorProduct):
        return [block.irreps_in1, block.irreps_in2], block.irreps_out
    return [block.irreps_in], block.irreps_out


@pytest.mark.parametrize("name", BLOCKS)
def test_block_and_module_compute_the_same(name):
    block = trained(BLOCKS[name]())
    irreps_in, irreps_out = irreps_in_and_out(block)
    module = as_e3nn(block).double()
    x = [torch.randn(5, irreps.dim) for irreps in irreps_in]
    expected = to_e3nn(block(*x), irreps_out)
    torch.testing.assert_close(
        module(*(to_e3nn(part, irreps) for part, irreps in zip(x, irreps_in, strict=True))), expected
    )
    if name == "Gate, other order":  # between permutations, which symnets does not have
        return
    again = from_e3nn_module(module)
    torch.testing.assert_close(to_e3nn(again(*x), irreps_out), expected)
    for (key, old), (other, new) in zip(block.state_dict().items(), again.state_dict().items(), strict=True):
        assert key == other
        torch.testing.assert_close(new, old)


def test_weights_are_copies_and_dtype_and_mode_are_kept():
    block = Linear("2x0e", "2x0e").float().train()
    module = as_e3nn(block)
    assert module.weight.dtype == torch.float32
    assert module.training
    before = copy.deepcopy(block.state_dict())
    module.weight.data.zero_()
    torch.testing.assert_close(block.state_dict(), before)


def test_species_linear_is_a_product_with_the_one_hot_species():
    block, species = SpeciesLinear(IRREPS, "4x0e+1x2e+2x1o", 3), torch.tensor([0, 2, 1, 2])
    module = as_e3nn(block)
    x, one_hot = torch.randn(4, IRREPS.dim), torch.eye(3)[species]
    expected = to_e3nn(block(x, species), block.irreps_out)
    torch.testing.assert_close(module(to_e3nn(x, IRREPS), one_hot), expected)
    again = from_e3nn_module(module, SpeciesLinear)
    torch.testing.assert_close(to_e3nn(again(x, species), block.irreps_out), expected)


def test_convolution_is_a_tensor_product_and_a_sum():
    block = Convolution(
        "3x0e+2x1o", "1x0e+1x1o+1x2e", "1x0e+1x1o+1x1e", n_basis=4, radial_hidden=(8,), mean_neighbors=3.0
    )
    edge_index = torch.tensor([[0, 1, 2, 2, 0], [1, 0, 0, 1, 3]])
    x, harmonics, basis = torch.randn(4, 9), torch.randn(5, 9), torch.rand(5, 4)
    expected = to_e3nn(block(x, Edges(basis, harmonics), edge_index), block.irreps_out)
    module = as_e3nn(block)
    assert module.irreps_out == block.irreps_out
    found = module(to_e3nn(x, block.irreps_in), harmonics, basis, edge_index)
    torch.testing.assert_close(found, expected)
    again = from_e3nn_module(module)
    torch.testing.assert_close(
        to_e3nn(again(x, Edges(basis, harmonics), edge_index), block.irreps_out), expected
    )


def test_e3nn_modules_of_other_normalisations_are_read_too():
    """The blocks have e3nn's default normalisation; rescaled weights make up for the difference."""
    linear = o3.Linear("3x0e+2x0e+2x1o", "4x0e+2x1o", path_normalization="path")
    product = o3.FullyConnectedTensorProduct(
        "3x0e+2x1o", "2x1o", "2x0e+2x1o", irrep_normalization="norm", path_normalization="path"
    )
    x, y = torch.randn(4, 11), torch.randn(4, 6)
    block = from_e3nn_module(linear)
    torch.testing.assert_close(to_e3nn(block(from_e3nn(x, block.irreps_in)), block.irreps_out), linear(x))
    block, x = from_e3nn_module(product), torch.randn(4, 9)
    out = block(from_e3nn(x, block.irreps_in1), from_e3nn(y, block.irreps_in2))
    torch.testing.assert_close(to_e3nn(out, block.irreps_out), product(x, y))


def test_gate_with_odd_scalars_keeps_e3nns_order():
    gate = e3nn_nn.Gate("3x0e+2x0o", [torch.relu, torch.tanh], "3x0e", [torch.sigmoid], "3x1o").double()
    block, x = from_e3nn_module(gate), torch.randn(4, 17)
    torch.testing.assert_close(to_e3nn(block(from_e3nn(x, block.irreps_in)), block.irreps_out), gate(x))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: o3.Linear("1x0e", "1x0e", internal_weights=False), "its weights are external"),
        (lambda: o3.Linear("1x0e+1x0e", "1x0e", instructions=[(0, 0)]), "it leaves out paths"),
        (lambda: e3nn_nn.FullyConnectedNet([2, 3, 1], torch.tanh), "an activation is not silu"),
        (lambda: e3nn_nn.BatchNorm("2x0e", instance=True), "instance is True"),
        (lambda: e3nn_nn.Gate("1x0e", [torch.tanh], "1x0o", [torch.tanh], "1x1o"), "gates are odd"),
        (lambda: o3.Norm("2x1o"), "Norm has no counterpart in symnets.nn; those that have one are Linear"),
    ],
)
def test_modules_without_counterpart_are_refused(module, message):
    with pytest.raises(ValueError, match=message):
        from_e3nn_module(module())


def test_blocks_without_counterpart_are_refused():
    with pytest.raises(
        ValueError, match="LayerNorm has no counterpart in e3nn; those that have one are Linear"
    ):
        as_e3nn(LayerNorm("2x0e"))
