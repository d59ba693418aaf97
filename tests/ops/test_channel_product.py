"""ChannelProduct: against e3nn, compiled against plain, derivatives, edges and nodes that do not fit."""

import pytest
import torch
from e3nn import o3

from symnets.ops import ChannelProduct, to_e3nn
from symnets.testing import assert_equivariant
from tests.naive.allegro import product

CASES = [
    ("3x0e+3x1o", "3x0e+3x1o", "0e"),
    ("2x0e+2x1o+2x2e", "2x0e+2x1o+2x2e", "0e+1o+2e"),
    ("17x0e+17x1o+17x1e", "17x1o+17x2e", "1e+0e+0o+1o"),
]
NODE = torch.tensor([0, 0, 2, 1, 2, 4])
"""Rows of the centres of six edges; row 3 has no edge."""


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def operands(layer: ChannelProduct) -> list[torch.Tensor]:
    torch.manual_seed(0)
    sizes = (len(NODE), layer.irreps_in1.dim), (5, layer.irreps_in2.dim)
    return [torch.randn(size, requires_grad=True) for size in sizes]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[2])
@pytest.mark.parametrize("implementation", ["fused", "plain"])
def test_product_is_that_of_e3nn(case, implementation):
    ours = ChannelProduct(*case, implementation=implementation)
    theirs = product(*map(o3.Irreps, case))
    x, centres = (t.detach() for t in operands(ours))
    expected = theirs(to_e3nn(x, ours.irreps_in1), to_e3nn(centres, ours.irreps_in2)[NODE])
    torch.testing.assert_close(
        to_e3nn(ours(x, centres, NODE), ours.irreps_out), expected, rtol=1e-12, atol=1e-12
    )
    assert ours.irreps_out == theirs.irreps_out.simplify()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[2])
def test_compiled_and_plain_agree_to_second_order(case):
    def derivatives(implementation: str) -> list[torch.Tensor]:
        layer = ChannelProduct(*case, implementation=implementation)
        x = operands(layer)
        out = layer(*x, NODE)
        results = [out]
        for _ in range(2):
            total = sum((r**2).sum() * (1 + n) for n, r in enumerate(results[-2:]))
            results += torch.autograd.grad(total, x, create_graph=True)
        return results

    for ours, plain in zip(derivatives("fused"), derivatives("plain"), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-11 * float(plain.detach().abs().max()))


def test_gradients_are_those_of_finite_differences():
    layer = ChannelProduct("2x0e+2x1o", "2x0e+2x1o", "0e+1o+1e", implementation="fused")
    x = operands(layer)
    assert torch.autograd.gradcheck(lambda *t: layer(*t, NODE), x)
    assert torch.autograd.gradgradcheck(lambda *t: layer(*t, NODE), x)


def test_product_is_equivariant():
    layer = ChannelProduct("2x0e+2x1o+2x1e", "2x0e+2x1o+2x2e", "0e+0o+1o+1e+2e+2o+3o")
    node = torch.tensor([0, 1, 1, 2, 4])
    irreps = [layer.irreps_in1, layer.irreps_in2]
    assert_equivariant(lambda x, a: layer(x, a, node), irreps, layer.irreps_out, n=5, tolerance=1e-11)


def test_float32_is_float64_rounded():
    layer = ChannelProduct(*CASES[1])
    x, centres = (t.detach() for t in operands(layer))
    rounded = layer(x.float(), centres.float(), NODE)
    torch.testing.assert_close(rounded.double(), layer(x, centres, NODE), rtol=1e-5, atol=1e-5)


def test_transforms_of_torch_func_use_plain_torch():
    layer = ChannelProduct(*CASES[0])
    x, centres = (t.detach() for t in operands(layer))
    jacobian = torch.func.jacrev(lambda a: layer(x, a, NODE).sum(0))(centres)
    expected = torch.autograd.functional.jacobian(lambda a: layer(x, a, NODE).sum(0), centres)
    torch.testing.assert_close(jacobian, expected, rtol=1e-12, atol=1e-12)
    fused = ChannelProduct(*CASES[0], implementation="fused")
    with pytest.raises(ValueError, match='implementation "fused": expected float32 or float64 on the CPU'):
        torch.func.vmap(lambda a: fused(x, a, NODE))(centres[None])


def test_no_edges_give_no_rows():
    layer = ChannelProduct(*CASES[1])
    x, centres = operands(layer)
    out = layer(x[:0], centres, NODE[:0])
    assert out.shape == (0, layer.irreps_out.dim)
    (gradient,) = torch.autograd.grad(out.sum(), centres)
    assert not gradient.any()


def test_wrong_arguments_are_named():
    layer = ChannelProduct(*CASES[0])
    x, centres = operands(layer)
    with pytest.raises(ValueError, match="node: expected 0 to 4, got 0 to 5"):
        layer(x, centres, NODE + (NODE == 4))
    with pytest.raises(ValueError, match=r"features: expected shape \(6, 12\)"):
        layer(x[:4], centres, NODE)
    with pytest.raises(ValueError, match="same number of channels in every irrep"):
        ChannelProduct("2x0e", "3x0e", "0e")
    with pytest.raises(ValueError, match="a path to one of the targets"):
        ChannelProduct("2x0e", "2x1o", "0e")
