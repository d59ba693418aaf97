"""Runge-Kutta steps: order, stability, and the same flow by both methods."""

import copy
import math

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.training import MSE, Criterion, QuadraticHinge, TrainState, gradient_flow
from symnets.training._active_members import Point
from symnets.training._runge_kutta import bogacki_shampine, chebyshev, n_stages, spectral_radius, stable_step

F64 = torch.float64


def quartic(w):
    """Gradient of x⁴/4 + x y + 5 y²/2."""
    gradient = torch.stack([w[:, 0] ** 3 + w[:, 1], 5 * w[:, 1] + w[:, 0]], 1)
    return Point(w.sum(1), w, gradient)


def integrate(step, n, time=1.0):
    w = torch.tensor([[1.5, -0.7]], dtype=F64)
    for _ in range(n):
        trial = step(quartic, w, quartic(w), torch.tensor([time / n], dtype=F64))
        w = trial.weights
    return w


@pytest.mark.parametrize("s", [2, 5, 12])
def test_chebyshev_steps_are_of_second_order(s):
    exact = integrate(bogacki_shampine, 1000)

    def error(n):
        return float((integrate(lambda *a: chebyshev(*a, s), n) - exact).norm())

    # 2 in the limit; the next order adds some percent.
    assert math.log2(error(20) / error(40)) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("s", [2, 3, 8, 24])
def test_steps_are_stable_up_to_the_stated_limit(s):
    """w' = -λ w with λ = 1 and 1000: below the limit the stiff component decays, above it grows."""
    rates = torch.tensor([1.0, 1000.0], dtype=F64)

    def linear(w):
        return Point(w.sum(1), w, rates * w)

    def after(factor):
        w = torch.ones(1, 2, dtype=F64)
        h = factor * stable_step(s, torch.tensor([1000.0], dtype=F64))
        for _ in range(100):
            w = chebyshev(linear, w, linear(w), h, s).weights
        return float(w[0, 1].abs())

    assert after(0.99) < 1e-3
    if s in (2, 8, 24):  # in between odd polynomials are stable somewhat further
        assert not after(1.2) < 1.0
    step = stable_step(s, torch.tensor([1000.0], dtype=F64))
    assert n_stages(0.999 * step, torch.tensor([1000.0], dtype=F64)) == s


def test_error_estimate_is_of_third_order():
    w = torch.tensor([[1.5, -0.7]], dtype=F64)
    sizes = [
        float((t.weights - t.embedded).norm())
        for h in (0.02, 0.01)
        for t in [chebyshev(quartic, w, quartic(w), torch.tensor([h], dtype=F64), 4)]
    ]
    assert sizes[0] / sizes[1] == pytest.approx(8, rel=0.2)


def test_spectral_radius_is_the_largest_eigenvalue():
    matrix = torch.diag(torch.tensor([1.0, 3.0, 70.0], dtype=F64))
    at = lambda w: Point(w.sum(1), w, w @ matrix)  # noqa: E731
    w = torch.ones(2, 3, dtype=F64)
    torch.testing.assert_close(
        spectral_radius(at, w, at(w)), torch.full((2,), 70.0, dtype=F64), rtol=1e-3, atol=0
    )


def stiff():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=generator, dtype=F64)
    y = torch.tensor([1.0, -1.0] * 6, dtype=F64)
    net = Dense(4, 20, 1, activation="tanh", members=2, generator=generator, dtype=F64)
    return net, Batch(x, y)


def run(net, batch, loss, **options):
    state = TrainState(net)
    for _ in gradient_flow(state, loss, batch, **options):
        pass
    return state


def test_both_methods_follow_the_same_flow():
    outputs = []
    for method in ("bogacki_shampine", "chebyshev"):
        net, batch = stiff()
        run(net, batch, MSE(), budget=2000, max_time=3.0, tolerance=1e-5, slope_tolerance=1e-2, method=method)
        outputs.append(net(batch.inputs).detach())
    # Tens of steps of error 1e-5 that decay along the flow.
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=3e-4)


def test_a_stiff_flow_takes_fewer_steps_with_many_stages():
    steps, verdicts = [], []
    for method in ("bogacki_shampine", "chebyshev"):
        net, batch = stiff()
        options = {"tolerance": 0.05, "slope_tolerance": 0.5, "weight_tolerance": 0.01, "method": method}
        state = run(net, batch, QuadraticHinge(), budget=3000, criterion=Criterion(tolerance=1e-3), **options)
        steps.append(int(state.members.steps.sum()))
        verdicts.append(state.members.verdicts)
    assert verdicts[0] == verdicts[1] == ["SAT", "SAT"]
    assert steps[1] < steps[0] / 3


def test_a_resumed_flow_has_the_same_bits():
    def flow(state, batch, budget=60):
        return gradient_flow(state, QuadraticHinge(), batch, budget=budget, method="chebyshev", stride=5)

    net, batch = stiff()
    state, stored = TrainState(net), {}
    for _ in flow(state, batch):
        if state.step == 20:
            stored = copy.deepcopy(state.state_dict())
    twin, _ = stiff()
    other = TrainState(twin)
    other.load_state_dict(stored)
    for _ in flow(other, batch):
        pass
    assert other.step == state.step
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q)


def test_an_unknown_method_is_refused():
    net, batch = stiff()
    with pytest.raises(ValueError, match="method: expected 'bogacki_shampine' or 'chebyshev', got 'euler'"):
        run(net, batch, MSE(), budget=1, method="euler")
