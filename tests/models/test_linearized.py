"""Linearized: the first-order expansion, whose training follows from the kernel at its initial weights."""

import copy

import pytest
import torch
from torch import nn

from symnets.data import Batch
from symnets.estimates import fit_power_law
from symnets.models import Convolutional, Dense, Ensemble, Linearized, Scaled, alpha_tilde, convert
from symnets.observables import tangent_kernel
from symnets.training import MSE, Criterion, TrainState, gradient_flow, levenberg_marquardt

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def inputs(*shape, seed=1):
    return torch.randn(shape, generator=seeded(seed), dtype=F64)


def image_net(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2)]
    return nn.Sequential(*layers).double()


def dense(**options):
    shared = {"activation": "tanh", "bias": True, "generator": seeded(), "dtype": F64}
    return Dense(3, 5, 2, **(shared | options))


NETS = {
    "dense": (lambda: dense(), (6, 3)),
    "members": (lambda: dense(members=3), (6, 3)),
    "own inputs": (lambda: dense(members=3), (3, 6, 3)),
    "several outputs": (lambda: dense(d_out=2), (6, 3)),
    "convolutional": (
        lambda: Convolutional((1, 6, 6), 4, 2, activation="tanh", members=2, generator=seeded(), dtype=F64),
        (5, 1, 6, 6),
    ),
    "image net": (lambda: image_net(0), (5, 1, 6, 6)),
    "ensemble": (lambda: Ensemble([image_net(0), image_net(1)]), (5, 1, 6, 6)),
}


@pytest.mark.parametrize("name", NETS)
def test_it_is_the_first_order_in_the_change_of_the_weights(name):
    build, shape = NETS[name]
    model, x = build().eval(), inputs(*shape)
    first = model(x).detach()
    linear = Linearized(model)
    torch.testing.assert_close(linear(x), first, rtol=1e-13, atol=1e-13)
    generator = seeded(3)
    change = [torch.randn(p.shape, generator=generator, dtype=F64) for p in model.parameters()]
    start = [p.detach().clone() for p in model.parameters()]

    def at(size):
        with torch.no_grad():
            for p, w0, d in zip(model.parameters(), start, change, strict=True):
                p.copy_(w0 + size * d)
        return model(x).detach(), linear(x).detach()

    errors = [float((f - f_lin).abs().max()) for f, f_lin in (at(1e-3), at(1e-4))]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)  # quadratic
    # Linear in the weights, however large the change.
    torch.testing.assert_close(at(200.0)[1] - first, 2 * (at(100.0)[1] - first), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["members", "ensemble", "convolutional"])
def test_selected_members_and_states_are_the_same_functions(name):
    build, shape = NETS[name]
    linear, x = Linearized(build()), inputs(*shape)
    with torch.no_grad():
        for p in linear.parameters():
            p.add_(0.1)
    outputs = linear(x)
    torch.testing.assert_close(linear.select([1])(x), outputs[[1]], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(linear.member(1)(x), outputs[1], rtol=1e-12, atol=1e-12)
    other = Linearized(build())
    other.load_state_dict(linear.train().state_dict())
    assert torch.equal(other(x), outputs)


def test_gradient_descent_is_the_recursion_of_the_frozen_kernel():
    """f_(t+1) = f_t - η/n Θ0 (f_t - y) on training points, and the same with Θ0(x, x_i) on others."""
    net, rate = dense(d_out=None), 0.3
    x, y, elsewhere = inputs(8, 3), inputs(8, seed=2), inputs(4, 3, seed=4)
    kernel, cross = tangent_kernel(net, x), tangent_kernel(net, elsewhere, x)
    f, g = net(x).detach(), net(elsewhere).detach()
    linear = Linearized(net)
    optimizer = torch.optim.SGD(linear.parameters(), lr=rate)
    for _ in range(50):
        optimizer.zero_grad()
        (0.5 * (linear(x) - y) ** 2).mean().backward()
        optimizer.step()
        f, g = f - rate / 8 * kernel @ (f - y), g - rate / 8 * cross @ (f - y)
    torch.testing.assert_close(linear(x), f, rtol=0, atol=1e-10)
    torch.testing.assert_close(linear(elsewhere), g, rtol=0, atol=1e-10)
    assert (net(x) - linear(x)).abs().max() > 1e-3  # the net itself has moved away from its expansion


def test_the_kernel_does_not_change():
    linear, x = Linearized(dense()), inputs(5, 3)
    before = tangent_kernel(dense(), x)
    with torch.no_grad():
        for p in linear.parameters():
            p.add_(1.0)
    torch.testing.assert_close(tangent_kernel(linear, x), before, rtol=1e-12, atol=1e-12)


def flow(predictor, batch, loss_scale, time):
    """Outputs after a time of w' = -∇L/α², by steps of the weights' own time."""
    state = TrainState(predictor)
    steps = gradient_flow(
        state, MSE(), batch, budget=5000, max_time=time * loss_scale, tolerance=1e-6, slope_tolerance=3e-3
    )
    for _ in steps:
        pass
    return predictor(batch.inputs).detach()


def test_scaled_approaches_linearized_as_one_over_alpha():
    """At equal time of w' = -∇L/α², for a smooth activation; fitted slope -1."""
    batch = Batch(inputs(6, 3), torch.tensor([1.0, -1.0] * 3, dtype=F64))
    net = dense(members=1)
    zero = Scaled(net, 1.0).start
    target = batch.targets + zero(batch.inputs)  # the expansion without its constant f(w0)
    linear = flow(Linearized(copy.deepcopy(net)), Batch(batch.inputs, target), 1.0, 1.0)
    linear = linear - zero(batch.inputs)
    alphas = [20.0, 60.0, 200.0]
    distance = [
        float((flow(Scaled(copy.deepcopy(net), a), batch, a**-2, 1.0) - linear).norm()) for a in alphas
    ]
    # The next order is 1/α² and shifts the slope by about 1/20.
    assert fit_power_law(alphas, distance).exponent.value == pytest.approx(-1, abs=0.06)


@pytest.mark.parametrize("width", [4, 16])
def test_alpha_tilde_is_the_same_predictor_in_the_mean_field_parametrisation(width):
    """α f of the ntk net and α̃ f of the mean-field one with the same weights, at all times."""
    alpha = 1.7
    ntk = Dense(3, width, 2, activation="tanh", members=1, generator=seeded(), dtype=F64)
    mean_field = Dense(
        3, width, 2, activation="tanh", members=1, parametrization="mean_field", generator=seeded(), dtype=F64
    )
    batch = Batch(inputs(6, 3), torch.tensor([1.0, -1.0] * 3, dtype=F64))
    here = flow(Scaled(ntk, alpha), batch, 1.0, 0.3)
    there = flow(Scaled(mean_field, alpha_tilde(alpha, width)), batch, 1.0, 0.3)
    # Two flows with errors of 1e-6 a step, which decay along the flow.
    torch.testing.assert_close(here, there, rtol=0, atol=2e-5)
    assert here.abs().max() > 0.1


def test_predictors_are_the_same_in_all_parametrisations():
    """Exact conversion of weights, w0 and rates: α (f - f0) follows the same functions."""
    x, y = inputs(6, 3), inputs(6, seed=2)
    old = dense(parametrization="ntk")
    for name in ("standard", "mean_field"):
        first = copy.deepcopy(old)
        conversion = convert(first, name)
        pair = (Scaled(first, 2.0), Scaled(conversion.model, 2.0))
        optimizers = (
            torch.optim.SGD(first.parameters(), lr=0.05),
            torch.optim.SGD(conversion.groups(0.05), lr=0.0),
        )
        for _ in range(10):
            for predictor, optimizer in zip(pair, optimizers, strict=True):
                optimizer.zero_grad()
                (predictor(x) - y).square().mean().backward()
                optimizer.step()
        torch.testing.assert_close(pair[0](x), pair[1](x), rtol=1e-11, atol=1e-12)
        assert pair[0](x).abs().max() > 1e-2


@pytest.mark.parametrize("wrap", [lambda net: Scaled(net, [0.5, 3.0]), Linearized])
def test_levenberg_marquardt_minimises_wrapped_nets(wrap):
    """Its Jacobian is that of the predictor: gaps vanish faster than linearly at the end."""
    net = dense(members=2, d_out=None)
    x, y = inputs(8, 3), torch.tensor([1.0, -1.0] * 4, dtype=F64)
    predictor = wrap(net)
    losses, state = [], TrainState(predictor)
    for _ in levenberg_marquardt(state, MSE(), Batch(x, y), budget=100, criterion=Criterion(tolerance=1e-10)):
        losses.append(state.members.loss.clone())
    assert state.members.verdicts == ["SAT", "SAT"]
    assert (predictor(x) - y).abs().max() < 1e-10
    assert len(losses) < 40
