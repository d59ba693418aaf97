"""Stability of nets with known D, G and R."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from symnets.observables import stability
from tests.observables.stability.nets import (
    SHAPE,
    Recorder,
    Stretch,
    field,
    generator,
    images,
    measure,
    small_net,
)


class Scaled(nn.Module):
    """c f + b."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -7.0 * self.net(x) + 3.0


@pytest.mark.parametrize("average", ["mean", "median"])
def test_identity_is_as_stable_to_deformations_as_to_noise(average: str) -> None:
    found = measure(nn.Identity(), average=average)
    assert found.R.value == pytest.approx(1, abs=1e-13)
    assert found.D.value == pytest.approx(found.G.value, rel=1e-13)
    if average == "mean":  # every image has a = b, so that R has no scatter at all
        assert found.R.high - found.R.low == pytest.approx(0, abs=1e-12)


def test_noise_of_the_mean_norm_gives_the_identity_r_above_one() -> None:
    """R = <n²> / <n>², with n the norm of what a deformation changes."""
    recorder = Recorder(nn.Identity())
    found = measure(recorder, noise="mean", batch_size=30)
    per_batch = 5  # x, then two times τx and x + η
    norms, noise = [], []
    for first in range(0, len(recorder.inputs), per_batch):
        x, *moved = recorder.inputs[first : first + per_batch]
        norms += [(one - x).flatten(1).norm(dim=1) for one in moved[::2]]
        noise += [(one - x).flatten(1).norm(dim=1) for one in moved[1::2]]
    n = torch.cat(norms)
    assert torch.cat(noise).numpy() == pytest.approx(n.mean().item(), rel=1e-12)
    assert found.R.value == pytest.approx((n.square().mean() / n.mean() ** 2).item(), rel=1e-12)
    assert found.R.value > 1
    assert found.noise_norm == pytest.approx(n.mean().item(), rel=1e-12)


def test_linear_maps_in_closed_form() -> None:
    """<‖W η‖²> = ‖W‖² <‖η‖²> / d, and deformations that stretch by 1 + ε s change f by ε s W x."""
    d, draws, epsilon = 2 * math.prod(SHAPE), 40, 0.1
    linear = nn.Linear(d, 5, dtype=torch.float64)
    nn.init.normal_(linear.weight, generator=generator(5))
    net, x = nn.Sequential(nn.Flatten(), linear), images(50)
    found = stability(net, x, Stretch(epsilon), delta=1.0, n_draws=draws, generator=generator())
    weight, flat = linear.weight.detach(), x.flatten(1)
    changes = epsilon**2 * (flat @ weight.T).square().sum(1).mean()
    noise = epsilon**2 * flat.square().sum(1).mean() * weight.square().sum() / d
    pair = 2 * (flat @ weight.T).var(0).sum()
    # 2000 draws of s², whose scatter is 1/2; and of noise, whose relative scatter is about (2/5)^(1/2).
    assert found.D.value == pytest.approx((changes / pair).item(), rel=4 * 0.5 / 2000**0.5)
    assert found.G.value == pytest.approx((noise / pair).item(), rel=4 * 0.8 / 2000**0.5)


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
def test_scale_and_offset_of_outputs_do_not_matter(average: str) -> None:
    net = small_net()
    one, other = (measure(model, average=average) for model in (net, Scaled(net)))
    for a, b in [(one.D, other.D), (one.G, other.G), (one.R, other.R)]:
        # The regulariser 1e-10 of "reference" is not scaled.
        assert b.value == pytest.approx(a.value, rel=1e-8)
        assert b.low == pytest.approx(a.low, rel=1e-8, nan_ok=True)
        assert b.high == pytest.approx(a.high, rel=1e-8, nan_ok=True)


@pytest.mark.parametrize("average", ["mean", "median", "reference"])
def test_r_is_d_over_g(average: str) -> None:
    found = measure(small_net(), layers="all", average=average)
    assert found.R.value == pytest.approx(found.D.value / found.G.value, rel=1e-12)


def test_a_function_of_invariants_is_perfectly_stable() -> None:
    """The border never moves: f that looks at one corner has D = 0 and R = 0."""

    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, 0, 0]

    found = measure(Corner())
    assert (found.D.value, found.R.value) == (0, 0)
    assert found.G.value > 0
    assert found.notes == ()


def test_a_constant_function_has_no_d_g_r() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((len(x), 3), 1 / 3, dtype=x.dtype)

    for average in ("mean", "median", "reference"):
        found = measure(Constant(), average=average)
        assert not found.defined.any()
        assert np.isnan([found.D.value, found.G.value, found.R.value]).all()
        assert "all images are equal" in found.notes[0]
        assert "noise does not change" in found.notes[1]


def test_constant_images_do_not_move() -> None:
    # 0.1 is no binary fraction: interpolation would round.
    x = torch.rand(20, 2, 1, 1, generator=generator(), dtype=torch.float64).expand(20, 2, *SHAPE) * 0.1
    found = measure(small_net(), x)
    assert (found.D.value, found.G.value) == (0, 0)
    assert not found.R.defined.any()
    assert "G is 0" in found.notes[0]


def test_zero_temperature_is_the_identity() -> None:
    found = measure(small_net(), delta=0.0)
    assert (found.D.value, found.G.value, found.noise_norm) == (0, 0, 0)
    assert not found.R.defined.any()


def test_a_single_image_has_r_only() -> None:
    found = measure(small_net(), images(1))
    assert found.R.defined.all()
    assert np.isnan(found.R.low).all()
    assert not found.D.defined.any()
    assert "single image" in found.notes[0]


def test_stability_of_volumes() -> None:
    from symnets.diffeo import SineField

    cube = SineField((5, 4, 6), cutoff=2)
    x = torch.randn(6, 1, 5, 4, 6, generator=generator(), dtype=torch.float64)
    found = stability(nn.Identity(), x, cube, delta=0.2, generator=generator())
    assert found.R.value == pytest.approx(1, abs=1e-12)


def test_fields_have_the_dtype_of_the_measurement() -> None:
    """Rounded to float32, fields would be equal to only 7 digits."""
    from symnets.diffeo import BSplineField, Expansion

    dtypes: list[torch.dtype] = []

    class RecordingField(BSplineField):
        def sample(self, *arguments: object, **options: object) -> Expansion:
            found = super().sample(*arguments, **options)
            dtypes.append(found.coefficients.dtype)
            return found

    found = stability(
        nn.Identity(),
        images(3),
        RecordingField(SHAPE, spacing=2),
        delta=0.1,
        n_draws=2,
        generator=generator(),
    )
    assert dtypes[1:] == [torch.float64] * 2  # the first sample is for the warnings only
    assert np.isnan(found.temperature)


def test_result_has_temperature_and_displacement() -> None:
    by_delta = measure(small_net(), delta=0.3)
    by_temperature = measure(small_net(), delta=None, temperature=field().temperature(0.3))
    assert by_temperature.delta == pytest.approx(0.3, rel=1e-12)
    assert by_temperature.temperature == pytest.approx(by_delta.temperature, rel=1e-12)
    assert by_temperature.R.value == pytest.approx(by_delta.R.value, rel=1e-9)
