"""Convolutions by circular harmonics: rotations, reflections, the formula, and magnitudes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ive

from symnets.nn import CircularConvolution, MagnitudeActivation, Magnitudes

IN, OUT = (2, 3, 1), (3, 1, 2, 2)
"""Channels of orders 0, 1, 2, ..., all different."""


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def orders(channels: tuple[int, ...]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(channels)), torch.tensor(channels))


def as_complex(fields: torch.Tensor, channels: tuple[int, ...]) -> torch.Tensor:
    """All channels as complex maps."""
    real, imaginary = fields[:, channels[0] :].chunk(2, dim=1)
    return torch.cat([fields[:, : channels[0]] + 0j, torch.complex(real, imaginary)], dim=1)


def as_maps(fields: torch.Tensor, channels: tuple[int, ...]) -> torch.Tensor:
    """Complex maps as real maps in the layout of the layers."""
    return torch.cat([fields.real, fields[:, channels[0] :].imag], dim=1)


def turned(fields: torch.Tensor, channels: tuple[int, ...], quarters: int) -> torch.Tensor:
    """(R z)(x) = e^{imθ} z(R⁻¹ x), R counterclockwise."""
    factor = torch.tensor([1, 1j, -1, -1j])[quarters * orders(channels) % 4]
    return as_maps(as_complex(fields, channels).rot90(quarters, (2, 3)) * factor[:, None, None], channels)


def reflected(fields: torch.Tensor, channels: tuple[int, ...]) -> torch.Tensor:
    """(S z)(x) = z(S⁻¹ x)*, for the reflection S that turns images upside down."""
    return as_maps(as_complex(fields, channels).flip(2).conj(), channels)


def fields(channels: tuple[int, ...], size: int = 9) -> torch.Tensor:
    return torch.randn(2, 2 * sum(channels) - channels[0], size, size)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "size_out"),
    [(3, 1, 8, 8), (5, 1, 9, 9), (6, 2, 8, 4), (8, 2, 28, 14), (7, 2, 9, 5), (9, 2, 7, 4), (7, 3, 10, 4)],
)
def test_quarter_turns_commute(kernel, stride, size, size_out):
    layer = CircularConvolution(IN, OUT, kernel, stride=stride)
    x = fields(IN, size)
    expected = layer(x)
    assert expected.shape == (2, layer.dim_out, size_out, size_out)
    for quarters in (1, 2, 3):
        # Sums of float64 in another order.
        assert error(layer(turned(x, IN, quarters)), turned(expected, OUT, quarters)) < 1e-13


def test_quarter_turns_are_exact_for_a_layer_that_was_made_in_float32():
    torch.set_default_dtype(torch.float32)
    layer = CircularConvolution(IN, OUT, 5).double()
    x = fields(IN).double()
    assert error(layer(turned(x, IN, 1)), turned(layer(x), OUT, 1)) < 1e-13


def test_a_border_that_is_not_the_same_on_all_sides_breaks_quarter_turns():
    layer = CircularConvolution(IN, OUT, 7, stride=2)  # 8 + 2 · 3 - 7 is odd
    x = fields(IN, 8)
    assert error(layer(turned(x, IN, 1)), turned(layer(x), OUT, 1)) > 0.1


def test_filters_are_those_of_the_formula():
    """Complex filters e^{i(kφ + β)} Σ w_j B_kj(r) from polar coordinates, k = n - m, on complex maps."""
    layer = CircularConvolution(IN, OUT, 5, rings=3)
    width, side = 2 / 3, np.arange(5) - 2
    x, y = np.meshgrid(side, -side)  # y upwards
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    assert layer.phase is not None
    phase = torch.zeros(len(orders(OUT)), len(orders(IN)))
    phase.view(-1)[layer.phased] = layer.phase.detach()
    assert (phase == 0).sum() == OUT[0] * IN[0]
    filters = torch.zeros(*phase.shape, 5, 5, dtype=torch.complex128)
    for c, n in enumerate(orders(OUT).tolist()):
        for d, m in enumerate(orders(IN).tolist()):
            k = n - m
            for j, radius in enumerate(1.5 * np.array([1, 2, 3]) / 3):
                ring = np.exp(-((r - radius) ** 2) / (2 * width**2)) * ive(k, r * radius / width**2)
                ring = torch.from_numpy(ring / np.linalg.norm(ring) * np.exp(1j * k * angle))
                filters[c, d] += layer.weight[c, d, j].detach() * torch.exp(1j * phase[c, d]) * ring
    z = fields(IN)
    expected = as_maps(F.conv2d(as_complex(z, IN), filters, padding=2), OUT)
    assert error(layer(z), expected) < 1e-13


def test_without_phases_reflections_commute_too():
    layer, x = CircularConvolution(IN, OUT, 5, phases=False), fields(IN)
    assert layer.phase is None
    assert error(layer(reflected(x, IN)), reflected(layer(x), OUT)) < 1e-13
    assert error(layer(turned(x, IN, 1)), turned(layer(x), OUT, 1)) < 1e-13


def test_reflections_change_the_sign_of_phases():
    layer, x = CircularConvolution(IN, OUT, 5), fields(IN)
    expected = reflected(layer(x), OUT)
    assert error(layer(reflected(x, IN)), expected) > 0.1
    assert layer.phase is not None
    layer.phase.data *= -1
    assert error(layer(reflected(x, IN)), expected) < 1e-13


def blobs(size: int, degrees: float, width: float) -> torch.Tensor:
    """Images made of Gaussians, rotated exactly about the central pixel."""
    generator = torch.Generator().manual_seed(1)
    centre = 6 * (2 * torch.rand(200, 20, 2, generator=generator) - 1)
    height = torch.randn(200, 20, generator=generator)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = centre.unbind(-1)
    side = torch.arange(size) - (size - 1) / 2
    columns = torch.exp(-((side - (cos * x - sin * y)[..., None]) ** 2) / (2 * width**2))
    rows = torch.exp(-((-side - (sin * x + cos * y)[..., None]) ** 2) / (2 * width**2))
    return torch.einsum("nb,nbr,nbc->nrc", height, rows, columns)[:, None]


@pytest.mark.parametrize("degrees", [10, 45, 200])
@pytest.mark.parametrize(("stride", "kernel"), [(1, 5), (1, 7), (2, 6), (2, 7)])
def test_other_angles_have_small_errors_for_images_that_pixels_resolve(stride, kernel, degrees):
    """At the centre, which does not move, z becomes e^{imθ} z. The worst angle is 45 degrees."""
    layer = CircularConvolution((1,), (4, 4, 4), kernel, stride=stride, padding=0)
    for width, most in [(1.0, (0.03, 0.07, 0.1)), (2.0, (0.01, 0.04, 0.15))]:
        found, start = (as_complex(layer(blobs(kernel, d, width)), (4, 4, 4)) for d in (degrees, 0))
        for order in (0, 1, 2):
            part = slice(4 * order, 4 * order + 4)
            expected = start[:, part] * torch.exp(torch.tensor(1j * order * math.radians(degrees)))
            assert error(found[:, part], expected) < most[order]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_activation_changes_magnitudes_only(batch_norm):
    activation = MagnitudeActivation(IN, batch_norm=batch_norm)
    x = fields(IN)
    z, out = as_complex(x, IN), as_complex(activation(x).detach(), IN)
    turn = torch.exp(0.7j * orders(IN))[:, None, None]  # e^{imα}
    found = as_complex(activation(as_maps(z * turn, IN)).detach(), IN)
    torch.testing.assert_close(found, out * turn)
    ratio = (out / z)[:, IN[0] :]
    assert float(ratio.imag.abs().max()) < 1e-14
    assert float(ratio.real.min()) == 0 if batch_norm else float(ratio.real.min()) > 0


def test_the_activation_has_its_closed_form():
    activation = MagnitudeActivation((1, 1), batch_norm=False, eps=0.25)
    assert activation.bias is not None
    activation.bias.data = torch.tensor([-1.0, -2.0])[:, None, None]
    x = torch.tensor([3.0, 1.2, 1.6]).view(1, 3, 1, 1)
    rho = math.sqrt(4 + 0.25)
    expected = torch.tensor([2.0, 1.2 * (rho - 2) / rho, 1.6 * (rho - 2) / rho])
    torch.testing.assert_close(activation(x).flatten(), expected)


def test_magnitudes_are_normalised_over_the_batch():
    activation = MagnitudeActivation(IN)
    x = 5 * fields(IN)
    rho = activation.magnitudes(x)
    normal = (rho - rho.mean((0, 2, 3), keepdim=True)) / rho.std((0, 2, 3), correction=0, keepdim=True)
    # The batch normalisation's own ε relative to a variance of about 4.
    torch.testing.assert_close(Magnitudes(IN, eps=0.0)(activation(x)), normal.relu(), rtol=1e-3, atol=1e-4)


def test_derivatives_exist_where_fields_vanish():
    activation, x = MagnitudeActivation(IN, batch_norm=False), torch.zeros(1, 10, 2, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(x).sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    assert bool(slope.isfinite().all())
    assert bool(bend.isfinite().all())


def test_layers_work_under_transforms_of_functions():
    layer, x = CircularConvolution(IN, OUT, 3), fields(IN, 4)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    call = lambda p, one: torch.func.functional_call(layer, p, (one[None],)).square().sum()  # noqa: E731
    found = torch.func.vmap(torch.func.grad(call), (None, 0))(parameters, x)
    for name, p in layer.named_parameters():
        (expected,) = torch.autograd.grad(layer(x[1:]).square().sum(), p)
        torch.testing.assert_close(found[name][1], expected)


def test_filters_kept_in_evaluation_are_those_of_the_weights():
    """They follow every change of the weights, also those that torch's version counters do not count."""
    layer, x = CircularConvolution(IN, OUT, 3).eval(), fields(IN, 2)
    other = {name: torch.randn_like(p) for name, p in layer.named_parameters()}

    def in_place() -> None:
        layer.weight.mul_(2)

    def of_data() -> None:
        layer.phase.data += 1

    def of_one_element() -> None:
        layer.weight.numpy(force=True)[0, 0, 0] += 1

    def replaced() -> None:
        layer.weight = torch.nn.Parameter(layer.weight + 1)

    def loaded() -> None:
        layer.load_state_dict(other)

    with torch.no_grad():
        previous = layer(x)
        assert torch.equal(layer(x), previous)
        for change in (in_place, of_data, of_one_element, replaced, loaded):
            change()
            found = layer(x)
            torch.testing.assert_close(found, F.conv2d(x, layer.filters(), padding=1), rtol=1e-14, atol=1e-14)
            assert (found - previous).norm() > 1e-3 * found.norm()
            previous = found
        halves = {name: p / 2 for name, p in layer.named_parameters()}
        found = torch.func.functional_call(layer, halves, (x,))
        assert (found - previous).norm() > 1e-3 * found.norm()
        assert torch.equal(layer(x), previous)
        layer.float()
        assert layer(x.float()).dtype == torch.float32
    assert torch.autograd.grad(layer(x.float()).sum(), layer.weight)[0].norm() > 0


def test_invalid_kernels_rings_and_channels_are_an_error():
    with pytest.raises(ValueError, match=r"expected at least 3 rows and columns for rings of width 0\.667"):
        CircularConvolution((1,), (1,), 2)
    with pytest.raises(ValueError, match=r"got \(5, 5\) and 0 rings"):
        CircularConvolution((1,), (1,), 5, rings=0)
    with pytest.raises(ValueError, match=r"channels of orders 0, 1, 2, \.\.\., at least one, got"):
        CircularConvolution((0, 0), (1,))
