"""Normalisations: equivariance, e3nn's BatchNorm, and the definitions of the papers written out."""

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3

from symnets.nn import BatchNorm, LayerNorm, RMSNorm
from symnets.ops import from_e3nn, to_e3nn
from symnets.testing import assert_equivariant

IRREPS = o3.Irreps("4x0e+3x0o+2x1o+3x1e+2x2e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def trained(norm: torch.nn.Module) -> torch.nn.Module:
    """The layer with random weights, biases and running averages."""
    for tensor in [*norm.parameters(), *norm.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand_like(tensor) + 0.5)
    return norm


@pytest.mark.parametrize("norm", [RMSNorm, RMSNorm.nequix, LayerNorm, BatchNorm])
def test_norms_are_equivariant(norm):
    layer = trained(norm(IRREPS))
    assert layer.irreps_in == layer.irreps_out == IRREPS
    assert_equivariant(layer, layer.irreps_in, layer.irreps_out, tolerance=1e-12)


def test_batch_norm_of_a_rotated_batch_is_rotated():
    """In training mode: `forward` is passed because `assert_equivariant` puts modules in evaluation mode."""
    layer = trained(BatchNorm(IRREPS)).train()
    assert_equivariant(layer.forward, IRREPS, IRREPS, tolerance=1e-12)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_e3nn_batch_norm(affine):
    """The running averages agree too, after three batches."""
    ours = BatchNorm(IRREPS, momentum=0.3, affine=affine)
    theirs = e3nn_nn.BatchNorm(IRREPS, momentum=0.3, affine=affine)
    trained(ours)
    theirs.load_state_dict(ours.state_dict())
    for _ in range(3):
        x = 3 * torch.randn(7, IRREPS.dim) + 1
        torch.testing.assert_close(to_e3nn(ours(from_e3nn(x, IRREPS)), IRREPS), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(to_e3nn(ours(from_e3nn(x, IRREPS)), IRREPS), theirs(x))


def test_layer_norm_of_even_scalars_is_that_of_torch():
    ours, theirs = trained(LayerNorm("6x0e")), torch.nn.LayerNorm(6)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_layer_norm_divides_by_the_root_mean_square_of_channels():
    layer, x = LayerNorm("3x0o+2x1o", eps=0.1), torch.randn(5, 9)
    parts = x[:, :3], x[:, 3:]  # pseudoscalars, vectors
    expected = [part / (part.square().mean(1, keepdim=True) + 0.1).sqrt() for part in parts]
    torch.testing.assert_close(layer(x), torch.cat(expected, 1))


def test_rms_norm_gives_every_irrep_the_same_weight():
    """The norm is the mean of the mean squares of the two irreps, not the mean over all components."""
    layer, x = trained(RMSNorm("2x0e+3x1o", eps=0.1)), torch.randn(4, 11)
    mean = (x[:, :2].square().mean(1) + x[:, 2:].square().mean(1)) / 2
    gain = torch.cat([layer.weight[:2], layer.weight[2:].repeat(3)])
    torch.testing.assert_close(layer(x), gain * x / (mean + 0.1).sqrt()[:, None])


def test_nequix_norm_is_its_definition():
    """The norm sums x² / (n (2l+1)) over n irreps and their channels, with the mean over components."""
    layer = trained(RMSNorm.nequix(IRREPS))
    x = torch.randn(4, IRREPS.dim)
    norm, gains, start = torch.full((4,), 1e-12), [], 0
    for (mul, ir), columns in zip(IRREPS, IRREPS.slices(), strict=True):
        block = x[:, columns].reshape(4, mul, ir.dim)
        norm += (block**2 / (ir.dim * len(IRREPS))).sum(1).mean(1)
        gains.append(layer.weight[start : start + mul].repeat_interleave(ir.dim))
        start += mul
    expected = x * torch.cat(gains) / norm.sqrt()[:, None]
    torch.testing.assert_close(to_e3nn(layer(from_e3nn(x, IRREPS)), IRREPS), expected)


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_norms_of_zero_features_are_finite_with_finite_slopes(norm):
    layer, x = norm(IRREPS), torch.zeros(2, IRREPS.dim, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    assert layer(x).isfinite().all()
    assert slope.isfinite().all()


def test_norms_refuse_what_they_cannot_normalise():
    with pytest.raises(ValueError, match="one channel or more of every irrep, got '2x0e\\+0x1o'"):
        RMSNorm("2x0e+0x1o")
    with pytest.raises(ValueError, match="expected 2 numbers, one for each entry of '2x0e\\+1x1o'"):
        RMSNorm("2x0e+1x1o", weights=[1.0])
    with pytest.raises(ValueError, match="expected one row or more in training mode"):
        BatchNorm("2x0e")(torch.zeros(0, 2))
