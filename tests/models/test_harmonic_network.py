"""The harmonic network: invariance of its logits, and the measurements that take any image net."""

import math

import pytest
import torch
from torch.func import functional_call, hessian, jacrev

from symnets.data import Batch
from symnets.diffeo import SineField
from symnets.models import HarmonicNetwork2D
from symnets.nn import CircularConvolution
from symnets.observables import margins, stability, tangent_kernel
from symnets.observables.curvature import hessian_split
from symnets.training import QuadraticHinge


def net(side: int, n_classes: int = 3, **options) -> HarmonicNetwork2D:
    """A narrow net in float64 whose running averages are not those of the start."""
    torch.manual_seed(0)
    model = HarmonicNetwork2D((1, side, side), n_classes, width=0.25, **options).double()
    model.train()(images(20, side))
    return model.eval()


def images(n: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, side, side, generator=generator, dtype=torch.float64)


def change(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative to the spread of logits over images."""
    found, expected = found.detach(), expected.detach()
    return float((found - expected).norm() / (expected - expected.mean(0)).norm())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("side", [4, 7, 8, 9, 10, 15, 28])
def test_quarter_turns_do_not_change_logits(side, training):
    model, x = net(side).train(training), images(5, side)
    for quarters in (1, 2, 3):
        # Sums over pixels in another order, through four layers.
        assert change(model(x.rot90(quarters, (2, 3))), model(x)) < 1e-11


def test_half_turns_of_images_that_are_not_square():
    torch.manual_seed(0)
    model = HarmonicNetwork2D((2, 9, 14), width=0.25).double().eval()
    x = torch.randn(4, 2, 9, 14, dtype=torch.float64)
    assert change(model(x.flip(2, 3)), model(x)) < 1e-11


def test_reflections_change_logits_unless_phases_are_zero():
    x = images(5, 9)
    with_phases, without = net(9), net(9, reflections=True)
    for mirrored in (x.flip(2), x.flip(3), x.mT):
        assert change(without(mirrored), without(x)) < 1e-11
        assert change(with_phases(mirrored), with_phases(x)) > 0.01
    assert not any(name.endswith("phase") for name, _ in without.named_parameters())


def test_largest_order_zero_has_isotropic_filters():
    layer = net(8, max_order=0).get_submodule("features.conv2")
    assert isinstance(layer, CircularConvolution)
    filters = layer.filters()
    torch.testing.assert_close(filters, filters.rot90(1, (2, 3)))
    torch.testing.assert_close(filters, filters.mT)
    with pytest.raises(ValueError, match="max_order: expected at least 0, got -1"):
        net(8, max_order=-1)


def letters(side: int, degrees: float) -> torch.Tensor:
    """Two strokes of Gaussian profile, rotated exactly about the centre; of several angles and lengths."""
    angles = torch.tensor([0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8], dtype=torch.float64)
    theta = math.radians(degrees)
    along = side * torch.linspace(0.02, 0.3, 30, dtype=torch.float64) * angles[:, None] / 2.8
    directions = torch.stack([theta + 0 * angles, theta + angles])
    x, y = (along * f(directions)[..., None] for f in (torch.cos, torch.sin))
    pixels = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    columns = torch.exp(-((pixels - x[..., None]) ** 2) / (2 * 1.2**2))
    rows = torch.exp(-((-pixels - y[..., None]) ** 2) / (2 * 1.2**2))
    return torch.einsum("anpr,anpc->nrc", rows, columns)[:, None] / 4


@pytest.mark.parametrize("side", [29, 30])
def test_other_angles_change_logits_little(side):
    """Strokes of 1.2 pixels, which pixels resolve. A net that is not invariant changes by about √2."""
    torch.manual_seed(0)
    model = HarmonicNetwork2D((1, side, side), 3, width=0.5).double().train()
    expected = model(letters(side, 0))
    for degrees in (15, 45, 70, 160):
        assert change(model(letters(side, degrees)), expected) < 0.2


@pytest.fixture
def tiny() -> HarmonicNetwork2D:
    """Scalar output and few parameters, for the matrices of the landscape."""
    torch.manual_seed(0)
    model = HarmonicNetwork2D((1, 4, 4), 1, width=0.03, max_order=1).double()
    model.train()(images(20, 4))
    return model.eval()


def test_stability_of_all_layers(tiny):
    found = stability(
        tiny,
        images(12, 4),
        SineField((4, 4), cutoff=1.5),
        delta=0.2,
        layers="all",
        n_draws=2,
        generator=torch.Generator().manual_seed(0),
    )
    assert {"features.conv1", "features.activation1.norm", "readout", "output"} <= set(found.layers)
    assert not found.notes
    assert bool((found.R.value > 0).all())


def test_tangent_kernel_is_that_of_the_jacobian():
    model, x = net(5, max_order=1), images(4, 5)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    jacobian = jacrev(lambda p: functional_call(model, p, (x,)))(parameters)
    rows = torch.cat([part.flatten(2) for part in jacobian.values()], dim=2)
    expected = torch.einsum("icp,jdp->ijcd", rows, rows)
    torch.testing.assert_close(tangent_kernel(model, x), expected, rtol=1e-10, atol=1e-10)
    turned = tangent_kernel(model, x.rot90(1, (2, 3)), x)
    torch.testing.assert_close(turned, expected, rtol=1e-10, atol=1e-10)


def test_margins_and_hessian(tiny):
    x, labels = images(6, 4), torch.tensor([1, -1, 1, 1, -1, -1], dtype=torch.float64)
    gaps = margins(tiny, Batch(x, labels)).gaps
    torch.testing.assert_close(gaps, 1 - labels * tiny(x)[:, 0])
    loss = QuadraticHinge()
    split = hessian_split(tiny, loss, Batch(x, labels))
    names, sizes = zip(*[(name, p.shape) for name, p in tiny.named_parameters()], strict=True)
    flat = torch.cat([p.detach().flatten() for p in tiny.parameters()])

    def total(weights: torch.Tensor) -> torch.Tensor:
        parts = weights.split([size.numel() for size in sizes])
        parameters = {name: p.view(size) for name, p, size in zip(names, parts, sizes, strict=True)}
        return loss(functional_call(tiny, parameters, (x,))[:, 0], labels).mean()

    torch.testing.assert_close(split.h, hessian(total)(flat), rtol=1e-8, atol=1e-10)
