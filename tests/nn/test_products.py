"""Tensor products of features with trained weights: equivariance, and e3nn's products."""

import pytest
import torch
from e3nn import o3

from symnets.nn import FullyConnectedTensorProduct, SelfInteraction, TensorSquare
from symnets.ops import from_e3nn, to_e3nn
from symnets.testing import assert_equivariant

IRREPS = o3.Irreps("3x0e+1x0o+2x1o+1x1e+1x2e")
OUT = o3.Irreps("2x0e+1x0o+2x1o+3x1e+2x2e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def test_products_are_equivariant():
    """This holds also after a conversion from float32."""
    layer = FullyConnectedTensorProduct(IRREPS, "2x1o+1x2e", OUT)
    assert_equivariant(layer.float(), [layer.irreps_in1, layer.irreps_in2], layer.irreps_out, tolerance=1e-12)
    for layer in (TensorSquare(IRREPS, OUT), SelfInteraction(IRREPS, OUT, channels=4, degree=3)):
        assert_equivariant(layer.float(), layer.irreps_in, layer.irreps_out, tolerance=1e-11)


@pytest.mark.parametrize("kind", [FullyConnectedTensorProduct, TensorSquare])
def test_components_of_products_have_unit_second_moment(kind):
    """The average is over features and over 40 samples of the weights."""
    squares = []
    for _ in range(40):
        x, y = torch.randn(500, 6), torch.randn(500, 6)
        inputs = (x,) if kind is TensorSquare else (x, y)
        layer = kind(*["3x0e+1x1o"] * len(inputs), "8x0e+8x1o")
        out = layer(*inputs)
        squares.append(torch.stack([part.square().mean() for part in out.split([8, 24], dim=1)]))
    means = torch.stack(squares).mean(0)
    torch.testing.assert_close(means, torch.ones(2), atol=0.1, rtol=0)


@pytest.mark.parametrize("kind", [FullyConnectedTensorProduct, TensorSquare])
def test_products_are_those_of_e3nn_with_equal_weights(kind):
    operands = ["3x0e+2x1o+1x1e"] * (1 if kind is TensorSquare else 2)
    ours, theirs = kind(*operands, OUT), getattr(o3, kind.__name__)(*operands, OUT)
    theirs.weight.data.copy_(torch.cat([weight.flatten() for weight in ours.weights]))
    x = [torch.randn(5, 12) for _ in operands]
    out = ours(*(from_e3nn(part, o3.Irreps(operands[0])) for part in x))
    torch.testing.assert_close(to_e3nn(out, ours.irreps_out), theirs(*x))


def test_self_interaction_spans_the_squares_of_e3nn():
    """Each path of one channel is a combination of x and of the paths of e3nn's `TensorSquare`."""
    irreps = o3.Irreps("1x0e+1x1o+1x2e")
    ours, square = SelfInteraction(irreps, irreps, channels=1), o3.TensorSquare(irreps, irreps)
    x = torch.randn(20, irreps.dim)
    for (_, ir), columns in zip(irreps, irreps.slices(), strict=True):
        paths = [square(x, weight)[:, columns] for weight in torch.eye(square.weight_numel)]
        basis = torch.stack([path.flatten() for path in paths if path.any()] + [x[:, columns].flatten()], 1)
        target = ours(x)[:, columns].flatten()  # with one channel both layouts are equal
        fit = basis @ torch.linalg.lstsq(basis, target).solution
        torch.testing.assert_close(fit, target, atol=1e-12, rtol=1e-10, msg=str(ir))


def test_products_refuse_what_they_cannot_reach():
    with pytest.raises(ValueError, match="output irrep 1e is in no product of 3x0e and 2x1o"):
        FullyConnectedTensorProduct("3x0e", "2x1o", "1x1o+1x1e")
    with pytest.raises(ValueError, match="expected each irrep once, got 1x0e\\+1x0e"):
        TensorSquare("1x0e+1x0e", "1x0e")
