"""SphericalCNN: invariance, sizes, files, and the observables of the landscape and of deformations."""

import json
import math

import pytest
import torch
from e3nn import o3

from symnets.diffeo import SineField
from symnets.models import SphericalCNN, load, save
from symnets.nn import S2Grid
from symnets.observables import margins, stability, tangent_kernel
from symnets.observables.curvature import hessian_split
from symnets.training import cross_entropy


def small(n_classes: int = 3, **options) -> SphericalCNN:
    """A net in float64 of seeded weights, on signals (2, 8, 8)."""
    torch.manual_seed(0)
    options = {"lmax": (3, 2), "channels": (3, 4)} | options
    return SphericalCNN((2, 8, 8), n_classes, **options).double().eval()


def signals(n: int) -> torch.Tensor:
    """Signals with degrees up to 3, and their grid."""
    generator = torch.Generator().manual_seed(1)
    coefficients = torch.randn(n, 2, 16, generator=generator, dtype=torch.float64)
    return S2Grid(3, (8, 8)).double().to_grid(coefficients)


def turned(signal: torch.Tensor) -> torch.Tensor:
    """Signals with degrees up to 3 after a rotation about an oblique axis."""
    grid, matrix = S2Grid(3, (8, 8)).double(), o3.angles_to_matrix(*torch.tensor([0.4, 1.3, 2.2]).double())
    # Values at the points turned back, by harmonics there.
    harmonics = o3.spherical_harmonics([0, 1, 2, 3], grid.points @ matrix, True, normalization="component")
    return torch.einsum("xyi,bci->bcxy", harmonics, grid.from_grid(signal))


def change(net: SphericalCNN) -> float:
    """Relative change of the logits under a rotation."""
    x = signals(3)
    return float((net(turned(x)) - net(x)).detach().norm() / net(x).detach().norm())


def test_logits_are_invariant_up_to_the_sampling_of_activations():
    """About 10⁻², and 20 times smaller on grids for three times the degrees: see docs/how-to/sphere.md."""
    coarse, fine = change(small()), change(small(oversampling=3.0))
    assert fine < 2e-3
    assert fine < 0.2 * coarse


def test_logits_of_a_net_without_sampling_errors_are_exactly_invariant():
    """Squares of degrees up to 3 and their projections up to 2 have degrees up to 8; the grid resolves 12."""
    net = small(oversampling=2.0)
    for k in (1, 2):
        net.get_submodule(f"features.act{k}").activation = torch.square
    assert change(net) < 1e-11


def test_steps_about_the_polar_axis_are_exact():
    net, x = small(steps=8), torch.randn(3, 2, 8, 8, dtype=torch.float64)
    for step in range(1, 8):
        torch.testing.assert_close(net(x.roll(step, 3)), net(x), rtol=1e-11, atol=1e-11)
    quarters = small(lmax=(3, 1))  # four angles α for degree 1
    torch.testing.assert_close(quarters(x.roll(2, 3)), quarters(x), rtol=1e-11, atol=1e-11)
    assert not torch.allclose(quarters(x.roll(1, 3)), quarters(x), rtol=1e-11)


def test_files(tmp_path):
    net, x = small(oversampling=1.5, kind="gauss", activation="swish"), signals(2)
    save(net, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors", SphericalCNN)
    assert (
        again.config
        == net.config
        == json.loads(json.dumps(net.config))
        | {name: net.config[name] for name in ("shape", "lmax", "channels")}
    )
    assert torch.equal(again(x), net(x))


def test_precisions_agree():
    net, x = small(), signals(2)
    expected = net(x)
    torch.testing.assert_close(net.float()(x.float()), expected.float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net.double()(x), expected, rtol=1e-4, atol=1e-4)  # weights were rounded


def test_observables_need_no_special_case():
    net, x = small(n_classes=1), signals(4)
    labels = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    assert margins(net, (x, labels)).gaps.shape == (4,)
    kernel = tangent_kernel(net, x)
    assert torch.linalg.eigvalsh(kernel).min() > -1e-10
    # An invariant net has an invariant kernel, as its logits are up to the sampling.
    torch.testing.assert_close(tangent_kernel(net, turned(x)), kernel, rtol=0.1, atol=0.1)
    field = SineField((8, 8), cutoff=2)
    layers = ["features.conv1", "features.act1", "features.conv2", "features.act2"]
    found = stability(net, x, field, delta=0.3, layers=layers, generator=torch.Generator().manual_seed(0))
    assert found.layers == (*layers, "output")
    assert math.isfinite(float(found.R.value[-1]))


def test_hessian_split_of_a_spherical_net():
    torch.manual_seed(0)
    net = SphericalCNN((1, 5, 5), 2, lmax=(1,), channels=(2,), activation="swish").double().eval()
    x = torch.randn(3, 1, 5, 5, dtype=torch.float64)
    found = hessian_split(net, cross_entropy, (x, torch.tensor([0, 1, 0])))
    n = sum(p.numel() for p in net.parameters())
    assert found.h0.shape == found.hp.shape == (n, n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lmax": (4, 2)}, "at least 9 latitudes"),
        ({"lmax": (2, 3)}, "degrees that do not grow"),
        ({"lmax": (3,)}, "one of each a convolution"),
        ({"oversampling": 0.5}, "at least 1, got 0.5"),
    ],
)
def test_invalid_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_signals_of_another_shape():
    with pytest.raises(ValueError, match=r"expected shape \(n, 2, 8, 8\)"):
        small()(torch.randn(1, 2, 8, 9, dtype=torch.float64))
