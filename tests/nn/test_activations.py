"""Gate with chosen activations, NormActivation and Dropout: equivariance, and e3nn's modules."""

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3

from symnets.nn import Dropout, Gate, NormActivation
from symnets.ops import from_e3nn, to_e3nn
from symnets.testing import assert_equivariant

IRREPS = o3.Irreps("3x0e+2x0o+4x1o+1x1e+2x2e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Gate(IRREPS),
        lambda: Gate(IRREPS, act=torch.cos, odd_act=torch.sin, gate_act=torch.sigmoid),
        lambda: Gate("3x0e+4x1o+2x0o", irreps_in="2x0o+7x0e+4x1o"),
        lambda: NormActivation(IRREPS),
        lambda: Dropout(IRREPS),
    ],
)
def test_activations_are_equivariant(layer):
    module = layer()
    for bias in module.parameters():
        torch.nn.init.normal_(bias)
    assert_equivariant(module, module.irreps_in, module.irreps_out, tolerance=1e-12)


def test_gate_with_chosen_activations_is_e3nn_gate():
    """The irreps of the input are in e3nn's order: its gate sorts them."""
    silu, sigmoid = torch.nn.functional.silu, torch.sigmoid
    theirs = e3nn_nn.Gate("3x0e+2x0o", [silu, torch.sin], "7x0e", [sigmoid], "4x1o+1x1e+2x2e").double()
    ours = Gate(IRREPS, odd_act=torch.sin, gate_act=sigmoid, irreps_in=theirs.irreps_in)
    x = torch.randn(5, ours.irreps_in.dim)
    torch.testing.assert_close(to_e3nn(ours(from_e3nn(x, ours.irreps_in)), ours.irreps_out), theirs(x))


def test_gate_refuses_activations_and_irreps_that_do_not_fit():
    with pytest.raises(ValueError, match="expected odd_act"):
        Gate(IRREPS, odd_act=torch.cos)
    with pytest.raises(ValueError, match="to be 7x0e\\+4x1o in any order, got 3x0e\\+4x1o"):
        Gate("3x0e+4x1o", irreps_in="3x0e+4x1o")


@pytest.mark.parametrize("bias", [True, False])
def test_norm_activation_is_that_of_e3nn(bias):
    ours = NormActivation(IRREPS, torch.sigmoid, bias=bias, eps=1e-8)
    theirs = e3nn_nn.NormActivation(IRREPS, torch.sigmoid, bias=bias)
    if bias:
        torch.nn.init.normal_(ours.biases)
        theirs.load_state_dict(ours.state_dict(), strict=False)
    x = torch.randn(5, IRREPS.dim)
    torch.testing.assert_close(to_e3nn(ours(from_e3nn(x, IRREPS)), IRREPS), theirs(x))


def test_norm_activation_is_smooth_at_zero():
    """Near zero it is linear, with slope φ(ε + b) / ε; second derivatives vanish there by symmetry."""
    layer = NormActivation("1x1o", torch.sigmoid, eps=0.1)
    x = torch.zeros(1, 3)
    slope = torch.autograd.functional.jacobian(lambda x: layer(x).sum(0), x)[:, 0]
    torch.testing.assert_close(slope, torch.sigmoid(torch.tensor(0.1)) / 0.1 * torch.eye(3))
    bend = torch.autograd.functional.hessian(lambda x: layer(x)[0, 2], x)
    assert not bend.any()


def test_dropout_drops_channels_whole_with_its_probability():
    """The dropped fraction of 20,000 channels is 0.3 within five standard deviations, as in e3nn."""
    irreps = o3.Irreps("2x0e+3x1o")
    x = torch.ones(4000, irreps.dim)
    for layer in (Dropout(irreps, 0.3), e3nn_nn.Dropout(irreps, 0.3)):
        out = from_e3nn(layer(x), irreps) if isinstance(layer, e3nn_nn.Dropout) else layer(x)
        assert sorted(set(out.flatten().tolist())) == pytest.approx([0, 1 / 0.7])
        vectors = out[:, 2:].unflatten(1, (3, 3))
        assert torch.equal(vectors[:, 0], vectors[:, 2])
        channels = torch.cat([out[:, :2], vectors[:, 0]], 1)
        assert abs((channels == 0).double().mean() - 0.3) < 5 * (0.3 * 0.7 / 20000) ** 0.5
        covariance = torch.cov((channels == 0).double().T)
        assert (covariance - 0.21 * torch.eye(5)).abs().max() < 5 * 0.25 / 4000**0.5


def test_dropout_is_the_identity_in_evaluation_mode():
    x = torch.randn(3, IRREPS.dim)
    assert torch.equal(Dropout(IRREPS).eval()(x), x)
    with pytest.raises(ValueError, match="probability from 0 to below 1, got 1"):
        Dropout(IRREPS, 1.0)
