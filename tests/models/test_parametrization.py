"""Parametrisations: equal functions, gradient descent and gradient flow after conversion."""

import pytest
import torch

from symnets.data import Batch
from symnets.models import Convolutional, Dense, alpha_tilde, convert
from symnets.models._parametrization import PARAMETRIZATIONS, layer_scales
from symnets.training import QuadraticHinge, TrainState, gradient_flow

PAIRS = [(a, b) for a in PARAMETRIZATIONS for b in PARAMETRIZATIONS if a != b]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net(parametrization, kind="dense", members=2, **options):
    shared = {
        "parametrization": parametrization,
        "members": members,
        "bias": True,
        "generator": seeded(),
        "dtype": torch.float64,
    } | options
    return Dense(4, 6, 2, **shared) if kind == "dense" else Convolutional((1, 2, 2), 6, 2, **shared)


def patterns(kind="dense"):
    x = torch.randn(8, 4, generator=seeded(1), dtype=torch.float64)
    return Batch(x if kind == "dense" else x.view(8, 1, 2, 2), torch.tensor([1.0, -1.0] * 4).double())


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_ten_steps_of_gradient_descent_go_through_the_same_functions(old, new, kind):
    batch = patterns(kind)
    model = net(old, kind)
    conversion = convert(model, new)
    torch.testing.assert_close(conversion.model(batch.inputs), model(batch.inputs), rtol=1e-13, atol=1e-14)
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5),
        torch.optim.SGD(conversion.groups(0.05), lr=0.0, momentum=0.5),
    ]
    start = model(batch.inputs).detach()
    for _ in range(10):
        for m, optimizer in zip((model, conversion.model), optimizers, strict=True):
            optimizer.zero_grad()
            QuadraticHinge()(m(batch.inputs), batch.targets).mean(-1).sum().backward()
            optimizer.step()
    torch.testing.assert_close(conversion.model(batch.inputs), model(batch.inputs), rtol=1e-12, atol=1e-12)
    assert (model(batch.inputs) - start).abs().max() > 1e-3


@pytest.mark.parametrize("members", [None, 3])
def test_there_and_back_is_the_identity(members):
    model = net("ntk", members=members)
    there = convert(model, "standard")
    back = convert(there.model, "ntk")
    for p, q in zip(model.parameters(), back.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-15, atol=0)
    assert [a * b for a, b in zip(there.rates, back.rates, strict=True)] == pytest.approx([1.0] * 6)
    assert (back.model.parametrization, back.model.scales) == (model.parametrization, model.scales)


def test_gradient_flow_takes_the_same_times_where_all_layers_have_one_factor():
    """d = h: all layers of ntk carry h^(-1/2), so time in standard weights is time in ntk weights over h.

    Each flow is right to about its tolerance times the few steps it takes.
    """
    batch, h = patterns(), 4
    model = Dense(4, h, 2, activation="tanh", members=2, generator=seeded(), dtype=torch.float64)
    twin = convert(model, "standard")
    assert twin.rates == pytest.approx([1 / h] * 3)
    for m, time in ((model, 1.0), (twin.model, 1.0 / h)):
        options = {"budget": 1000, "max_time": time, "tolerance": 1e-6, "slope_tolerance": 1e-3}
        flow = gradient_flow(TrainState(m), QuadraticHinge(), batch, **options)
        for _ in flow:
            pass
    torch.testing.assert_close(twin.model(batch.inputs), model(batch.inputs), rtol=0, atol=1e-5)


def test_mean_field_is_ntk_with_a_last_layer_of_one_over_width():
    assert layer_scales("mean_field", [10, 25]) == pytest.approx([10**-0.5, 1 / 25])
    assert layer_scales("ntk", [10, 25]) == pytest.approx([10**-0.5, 1 / 5])
    ntk, mean_field = net("ntk"), net("mean_field")
    x, alpha = patterns().inputs, 3.0
    torch.testing.assert_close(alpha_tilde(alpha, 6) * mean_field(x), alpha * ntk(x), rtol=1e-13, atol=0)


def test_unknown_parametrisations_are_refused():
    with pytest.raises(ValueError, match="parametrization: expected one of ntk, standard, mean_field"):
        layer_scales("mup", [10, 25])
