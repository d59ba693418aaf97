"""Layers against e3nn's, and against closed forms."""

import math

import pytest
import torch
from e3nn import nn as e3nn_nn
from e3nn import o3
from e3nn.math import normalize2mom

from symnets.nn import (
    MLP,
    AtomicEnergy,
    BesselBasis,
    Gate,
    Linear,
    SpeciesIndex,
    SpeciesLinear,
    polynomial_envelope,
    species_numbers,
)
from symnets.nn._activations import TANH_NORM
from symnets.nn._mlp import SILU_NORM
from symnets.ops import from_e3nn, to_e3nn

IRREPS = o3.Irreps("3x0e+2x1o+4x2e")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def test_layouts_are_inverse_and_put_channels_last():
    x = torch.randn(5, IRREPS.dim)
    assert torch.equal(from_e3nn(to_e3nn(x, IRREPS), IRREPS), x)
    row = torch.arange(6.0)[None]  # e3nn: channel 0 (x y z), channel 1 (x y z)
    assert from_e3nn(row, o3.Irreps("2x1o")).tolist() == [[0, 3, 1, 4, 2, 5]]


def test_linear_is_e3nn_linear():
    ours = Linear("3x0e+2x1o+5x0e", "4x0e+3x1o")
    theirs = o3.Linear("3x0e+2x1o+5x0e", "4x0e+3x1o")
    scalars, vectors = ours.weights
    with torch.no_grad():  # e3nn keeps a matrix for each pair of slots
        theirs.weight.copy_(torch.cat([scalars[:3].flatten(), vectors.flatten(), scalars[3:].flatten()]))
    x = torch.randn(6, theirs.irreps_in.dim)
    expected = theirs(x)
    torch.testing.assert_close(to_e3nn(ours(from_e3nn(x, theirs.irreps_in)), ours.irreps_out), expected)


def test_linear_refuses_an_output_it_cannot_reach():
    with pytest.raises(ValueError, match="output irrep 1e is in none of the inputs 3x0e"):
        Linear("3x0e", "2x1e")


def test_gate_is_e3nn_gate():
    ours = Gate("3x0e+2x0o+4x1o+2x2e")
    theirs = e3nn_nn.Gate(
        "3x0e+2x0o", [torch.nn.functional.silu, torch.tanh], "6x0e", [torch.nn.functional.silu], "4x1o+2x2e"
    ).double()
    x = torch.randn(5, ours.irreps_in.dim)
    even, odd, rest = to_e3nn(x, ours.irreps_in).split([9, 2, 4 * 3 + 2 * 5], dim=1)
    assert str(theirs.irreps_in) == "2x0o+9x0e+4x1o+2x2e"  # e3nn sorts what comes in
    expected = theirs(torch.cat([odd, even, rest], dim=1))
    torch.testing.assert_close(to_e3nn(ours(x), ours.irreps_out), expected)


def test_norms_are_those_of_e3nn():
    assert pytest.approx(normalize2mom(torch.nn.functional.silu).cst) == SILU_NORM
    assert pytest.approx(normalize2mom(torch.tanh).cst) == TANH_NORM


def test_mlp_is_e3nn_fully_connected_net():
    ours, theirs = MLP(4, 8, 6), e3nn_nn.FullyConnectedNet([4, 8, 6], torch.nn.functional.silu)
    for weight, layer in zip(ours.weights, theirs, strict=True):
        layer.weight.data.copy_(weight)
    x = torch.randn(3, 4)
    torch.testing.assert_close(ours(x), theirs(x))


def test_species_linear_selects_the_weights_of_each_species():
    layer = SpeciesLinear("3x0e+2x1o", "4x0e+2x1o+1x2e", 2)
    x, species = torch.randn(5, 9), torch.tensor([0, 1, 1, 0, 1])
    out = layer(x, species)
    for n in range(5):
        alone = SpeciesLinear("3x0e+2x1o", "4x0e+2x1o+1x2e", 1)
        for mine, theirs in zip(alone.weights, layer.weights, strict=True):
            mine.data.copy_(theirs.data[species[n]][None])
        torch.testing.assert_close(alone(x[n : n + 1], torch.tensor([0])), out[n : n + 1])
    assert not out[:, -5:].any()  # no 2e comes in


def test_envelope_is_smooth_at_both_ends():
    x = torch.tensor([0.0, 1.0 - 1e-12, 1.0, 1.3], requires_grad=True)
    value = polynomial_envelope(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(value.detach(), torch.tensor([1.0, 0, 0, 0]), atol=1e-12, rtol=0)
    torch.testing.assert_close(slope.detach(), torch.zeros(4), atol=1e-10, rtol=0)
    torch.testing.assert_close(bend, torch.zeros(4), atol=1e-8, rtol=0)


def test_bessel_functions_are_orthonormal_without_their_envelope():
    """∫₀^c r² b_n b_m dr = (2/c) δ_nm, for b_n = (2/c) sin(nπr/c) / r."""
    cutoff, points = 5.0, 4000
    r = (torch.arange(points) + 0.5) * cutoff / points
    basis = BesselBasis(cutoff, 4)(r) / polynomial_envelope(r / cutoff)[:, None]
    gram = (basis * r[:, None]).T @ (basis * r[:, None]) * cutoff / points
    torch.testing.assert_close(gram.detach(), 2 / cutoff * torch.eye(4), atol=1e-9, rtol=0)


def test_shift_keeps_float64_when_the_model_becomes_float32():
    layer = AtomicEnergy([-2037.7968694128251], [1.0]).to(torch.float32)
    assert layer.scale.dtype == torch.float32
    out = layer(torch.zeros(1, dtype=torch.float32), torch.tensor([0]))
    assert out.dtype == torch.float64
    assert out.item() == -2037.7968694128251


def test_species_by_symbol_or_number():
    assert species_numbers(["O", 1, "C", "H"]) == (1, 6, 8)
    with pytest.raises(ValueError, match="'Xx'"):
        species_numbers(["Xx"])


def test_unknown_element_is_named():
    with pytest.raises(ValueError, match="has N, but the elements of this model are H, O"):
        SpeciesIndex((1, 8))(torch.tensor([1, 7, 8]))


def test_envelope_has_its_closed_form_at_one_half():
    assert polynomial_envelope(torch.tensor(1.0)).item() == 0.0
    assert math.isclose(polynomial_envelope(torch.tensor(0.5)).item(), 1 - 28 / 64 + 48 / 128 - 21 / 256)
