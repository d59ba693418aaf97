"""Gradient flow on one pattern: the closed form against integrators, and its invariants."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Generator, Tensor

from symnets.models import Dense, Scaled
from symnets.observables import neurons
from symnets.setups import fixed_point, growth_rate, one_pattern_net, position_field, rescaled_time
from symnets.training import MSE, Criterion, DenseOutput, QuadraticHinge, TrainState, gradient_flow

D, H = 3, 40
PARAMETRIZATIONS = ["ntk", "mean_field", "standard"]


def pattern(seed: int = 1) -> Tensor:
    return torch.randn(D, generator=Generator().manual_seed(seed), dtype=torch.float64)


def net_of(parametrization: str = "ntk", h: int = H, members: int | None = None) -> Dense:
    generator = Generator().manual_seed(0)
    net = Dense(
        D,
        h,
        1,
        bias=True,
        parametrization=parametrization,  # pyright: ignore[reportArgumentType]
        members=members,
        generator=generator,
        dtype=torch.float64,
    )
    with torch.no_grad():
        net.biases[0].normal_(generator=generator)
        net.biases[1].normal_(generator=generator)
    return net


def hidden(net: Dense) -> np.ndarray:
    """ω, b and β of each neuron, (h, d + 2)."""
    omega, b, beta = net.weights[0], net.biases[0], net.weights[1][0]
    return torch.cat([omega, b[:, None], beta[:, None]], 1).detach().numpy()


def integrated(net: Dense, x: Tensor, tau: float) -> np.ndarray:
    """Slow twin: the equations of motion of all neurons, integrated as they are written."""
    s, point = net.scales[0], x.numpy()

    def slope(_: float, flat: np.ndarray) -> np.ndarray:
        omega, b, beta = np.split(flat.reshape(-1, D + 2), [D, D + 1], axis=1)
        u = s * omega @ point[:, None] + b
        on = u > 0
        return (on * np.concatenate([beta * s * point, beta, u], axis=1)).ravel()

    # Steps of at most 1e-3: the slope jumps where a neuron is switched off.
    solution = solve_ivp(slope, (0, tau), hidden(net).ravel(), rtol=1e-9, atol=1e-10, max_step=2e-3)
    return solution.y[:, -1].reshape(-1, D + 2)


@pytest.mark.parametrize("tau", [1.3, -1.3])
@pytest.mark.parametrize("parametrization", ["ntk", "standard"])
def test_closed_form_solves_the_equations_of_motion(parametrization: str, tau: float) -> None:
    net, x = net_of(parametrization), pattern()
    with torch.no_grad():
        net.weights[1].normal_(generator=Generator().manual_seed(2))
    found = one_pattern_net(net, x, tau)
    # A neuron is switched off within a step, which leaves an error of the step times its slope.
    np.testing.assert_allclose(hidden(found), integrated(net, x, tau), rtol=0, atol=5e-3)
    u = neurons(found).preactivations(x[None])[:, 0]
    on = (u > 1e-6).numpy()
    np.testing.assert_allclose(hidden(found)[on], integrated(net, x, tau)[on], rtol=1e-7, atol=1e-7)
    was_on = neurons(net).active(x[None])[:, 0]
    switched_off = int((was_on & (u.abs() < 1e-12)).sum())
    assert 2 <= switched_off < int(was_on.sum()) / 2
    assert int((~was_on).sum()) > 5


@pytest.mark.parametrize(
    ("parametrization", "loss"), [("ntk", QuadraticHinge()), ("mean_field", MSE()), ("standard", MSE())]
)
def test_gradient_flow_of_a_net_is_the_closed_form(parametrization: str, loss) -> None:
    """All weights, the bias of the output included.

    A neuron that is switched off within a step of the flow has an error of the step times its slope, 1e-4.
    """
    net, x, y = net_of(parametrization), pattern(), torch.tensor([-1.0], dtype=torch.float64)
    times = [0.001, 0.004, 0.02] if parametrization == "standard" else [0.05, 0.2, 0.6]
    flowing = Dense.stack([net])
    dense_output = DenseOutput(times)
    flow = gradient_flow(
        TrainState(flowing),
        loss,
        (x[None], y),
        budget=20_000,
        max_time=times[-1],
        tolerance=1e-6,
        slope_tolerance=1e-3,
        criterion=Criterion(tolerance=1e-12),
        dense_output=dense_output,
    )
    for _ in flow:
        pass

    def force(f: float) -> float:
        return -float(loss.d1(torch.tensor([f], dtype=torch.float64), y))

    tau = rescaled_time(net, x, force, times)
    for k in range(len(times)):
        expected = torch.cat([p.reshape(-1) for p in one_pattern_net(net, x, float(tau[k])).parameters()])
        torch.testing.assert_close(dense_output.values[k, 0], expected.detach(), rtol=0, atol=2e-4)
    assert np.abs(hidden(one_pattern_net(net, x, float(tau[-1]))) - hidden(net)).max() > 5e-3


def test_a_scaled_net_without_output_bias_is_the_closed_form() -> None:
    net, x = net_of("mean_field"), pattern()
    net.biases[1].requires_grad_(False)
    predictor = Scaled(Dense.stack([net]), 0.05)
    dense_output = DenseOutput([1.0, 20.0], measure=lambda model: model.model.biases[0])  # pyright: ignore
    y = torch.ones(1, dtype=torch.float64)
    flow = gradient_flow(
        TrainState(predictor),
        QuadraticHinge(),
        (x[None], y),
        budget=20_000,
        max_time=20.0,
        tolerance=1e-5,
        slope_tolerance=1e-3,
        criterion=Criterion(tolerance=0.0),
        dense_output=dense_output,
    )
    for _ in flow:
        pass
    first = net(x[None]).item()
    tau = rescaled_time(net, x, lambda f: 0.05 * max(0.0, 1 - 0.05 * (f - first)), [1.0, 20.0])
    for k in range(2):
        found = one_pattern_net(net, x, float(tau[k]))
        torch.testing.assert_close(dense_output.values[k, 0], found.biases[0].detach(), rtol=0, atol=1e-5)
        assert torch.equal(found.biases[1], net.biases[1])


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_positions_move_along_the_field(parametrization: str) -> None:
    """dz/dτ = (β/b) × field, by central differences of the closed form: errors O(δ²)."""
    net, x, delta = net_of(parametrization), pattern(), 1e-5
    s = net.scales[0]
    before, at, after = (neurons(one_pattern_net(net, x, tau)) for tau in (0.2 - delta, 0.2, 0.2 + delta))
    here = one_pattern_net(net, x, 0.2)
    field = position_field(at.positions, x, scale=s)
    expected = (here.weights[1][0] / here.biases[0])[:, None] * field
    moved = (after.positions - before.positions) / (2 * delta)
    on = at.preactivations(x[None])[:, 0] > 1e-3
    assert int(on.sum()) > 5
    torch.testing.assert_close(moved[on], expected[on].detach(), rtol=1e-5, atol=1e-5)
    assert torch.equal(before.positions[~on], after.positions[~on])


def test_conserved_quantities_and_growing_modes() -> None:
    net, x, tau = net_of(), pattern(), 1.1
    later = one_pattern_net(net, x, tau)
    (w0, w1), s, kappa = (hidden(n) for n in (net, later)), net.scales[0], growth_rate(x)
    assert kappa == pytest.approx((1 + float(x @ x) / D) ** 0.5, rel=1e-14)

    def invariant(w: np.ndarray) -> np.ndarray:
        return np.square(w[:, : D + 1]).sum(1) - np.square(w[:, -1])

    np.testing.assert_allclose(invariant(w1), invariant(w0), rtol=0, atol=1e-12)
    across = np.eye(D) - np.outer(x, x) / float(x @ x)
    np.testing.assert_allclose(w1[:, :D] @ across, w0[:, :D] @ across, rtol=0, atol=1e-14)
    u0, u1 = (s * w[:, :D] @ x.numpy() + w[:, D] for w in (w0, w1))
    on = u1 > 1e-9
    for sign in (1, -1):
        mode0, mode1 = (u + sign * kappa * w[:, -1] for u, w in ((u0, w0), (u1, w1)))
        np.testing.assert_allclose(mode1[on], mode0[on] * np.exp(sign * kappa * tau), rtol=1e-12, atol=1e-12)


def test_growing_neurons_end_at_the_fixed_point() -> None:
    """z - z* falls as exp(-κ τ), for weights grow as exp(κ τ)."""
    net, x = net_of(h=200), pattern()
    target = fixed_point(x)
    assert position_field(target, x).abs().max() < 1e-14
    derivative = torch.autograd.functional.jacobian(lambda z: position_field(z, x), target)
    torch.testing.assert_close(derivative, -torch.eye(D, dtype=torch.float64))
    start, kappa = neurons(net), growth_rate(x)
    growing = start.active(x[None])[:, 0] & (start.amplitudes > 0)
    distances = []
    for tau in (4.0, 6.0):
        later = neurons(one_pattern_net(net, x, tau))
        assert bool((later.biases[growing] > 0).all())  # a growing neuron is active on the side of the origin
        distances.append((later.positions - target).norm(dim=1)[growing])
    torch.testing.assert_close(
        (distances[1] / distances[0]).median(), torch.tensor(np.exp(-2 * kappa)), rtol=0.05, atol=0
    )


def test_a_quarter_of_the_active_neurons_is_switched_off() -> None:
    """4000 neurons, 2000 of them active: standard error sqrt(3/16/2000) = 0.01."""
    net, x = net_of(h=4000), pattern()
    was_on = neurons(net).active(x[None])[:, 0]
    now_on = neurons(one_pattern_net(net, x, 12.0)).preactivations(x[None])[:, 0] > 1e-6
    assert float((was_on & ~now_on).sum() / was_on.sum()) == pytest.approx(0.25, abs=0.04)


def test_nets_without_biases_or_with_members_are_refused() -> None:
    for net in (Dense(D, 4, 1, dtype=torch.float64), net_of(members=2)):
        with pytest.raises(ValueError, match="single net with biases"):
            one_pattern_net(net, pattern(), 1.0)
