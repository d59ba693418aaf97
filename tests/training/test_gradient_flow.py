"""Gradient flow against small Euler steps and its conservation laws."""

import copy
import math

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.training import (
    MSE,
    Checkpoint,
    Criterion,
    CrossEntropy,
    DenseOutput,
    Hinge,
    QuadraticHinge,
    TrainState,
    gradient_flow,
)

NEVER = Criterion(margin=math.inf, gradient=0.0)  # only max_time ends the flow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def patterns(n=8, d=4):
    x = torch.randn(n, d, generator=seeded(1), dtype=torch.float64)
    return Batch(x, torch.tensor([1.0, -1.0] * (n // 2), dtype=torch.float64))


def net(activation="tanh", members=3, width=6, depth=2, **options):
    options = {"generator": seeded(), "dtype": torch.float64} | options
    return Dense(4, width, depth, activation=activation, members=members, **options)


def run(model, loss=None, batch=None, **options):
    state = TrainState(model)
    for _ in gradient_flow(
        state, loss or QuadraticHinge(), batch or patterns(), **({"budget": 5000} | options)
    ):
        pass
    return state


def euler(model, loss, batch, time, steps):
    """w ← w - (time / steps) ∇L, of each member."""
    for _ in range(steps):
        value = loss(model(batch.inputs), batch.targets).mean(dim=1).sum()
        grads = torch.autograd.grad(value, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= time / steps * g
    return model


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("tanh", QuadraticHinge()),
        pytest.param("tanh", MSE(), marks=pytest.mark.slow),
        pytest.param("relu", CrossEntropy(), marks=pytest.mark.slow),
        ("relu", Hinge()),
    ],
    ids=str,
)
def test_flow_is_the_limit_of_small_euler_steps(activation, loss):
    """Euler's error falls as 1/steps; two runs extrapolate it away where the flow is smooth."""
    batch, time, model = patterns(), 1.0, net(activation, members=2)
    coarse, fine = (euler(copy.deepcopy(model), loss, batch, time, n)(batch.inputs) for n in (400, 800))
    smooth = activation == "tanh"
    # Across kinks the number of steps goes as one over the tolerance.
    tolerance = 1e-6 if smooth else 1e-5
    state = run(model, loss, max_time=time, tolerance=tolerance, slope_tolerance=1e-3, criterion=NEVER)
    assert state.members.time.tolist() == [time] * 2
    assert state.members.verdicts == ["UNCONVERGED"] * 2
    limit = 2 * fine - coarse if smooth else fine
    torch.testing.assert_close(model(batch.inputs), limit, rtol=0, atol=1e-4 if smooth else 10 * tolerance)


def test_a_linear_problem_decays_exponentially():
    """One weight per layer, f = w_2 w_1 x with MSE: from f = 1 with y = -1, f / (f + 1) = ½ e^(-2t)."""
    model = Dense(1, 1, 1, activation="linear", members=1, dtype=torch.float64)
    with torch.no_grad():
        model.weights[0].fill_(1.0)
        model.weights[1].fill_(1.0)
    # w_1 = w_2 = w (ntk: all scales 1): w' = -(w² - y) w with y = -1, so u = w² has u' = -2 u (u + 1):
    # u / (u + 1) = ½ e^(-2t).
    batch = Batch(torch.ones(1, 1, dtype=torch.float64), -torch.ones(1, dtype=torch.float64))
    dense_output = DenseOutput([0.0, 0.3, 1.0, 2.0], measure=lambda m: m(batch.inputs)[:, 0])
    run(
        model,
        MSE(),
        batch,
        max_time=2.0,
        tolerance=1e-8,
        slope_tolerance=1e-4,
        criterion=NEVER,
        dense_output=dense_output,
    )
    r = 0.5 * torch.exp(-2 * dense_output.times)
    torch.testing.assert_close(dense_output.values[:, 0], r / (1 - r), rtol=0, atol=1e-6)


def balances(model):
    """W_(l+1)ᵀ W_(l+1) - W_l W_lᵀ of all pairs of layers; of ReLU nets only the diagonal is conserved."""
    return [b.mT @ b - a @ a.mT for a, b in zip(model.weights[:-1], model.weights[1:], strict=True)]


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("parametrization", ["ntk", "standard", "mean_field"])
def test_difference_of_squared_weights_of_layers_is_conserved(activation, parametrization):
    """Each unit of a homogeneous net keeps |w_in|² - |w_out|², and each pair of units of a linear net.

    For s cancels from W_l ∂L/∂W_l = W_(l+1)ᵀ ∂L/∂W_(l+1), so the law holds in any parametrisation. The
    methods conserve it up to their error, so it gets better with their tolerance.
    """
    drifts, time = [], 0.3 if parametrization == "standard" else 1.5  # gradients are larger by the width
    for tolerance in (1e-2, 1e-4):
        model = net(activation, parametrization=parametrization, generator=seeded(2))
        before, start = [b.detach() for b in balances(model)], model(patterns().inputs).detach()
        run(model, max_time=time, tolerance=tolerance, slope_tolerance=10 * tolerance, criterion=NEVER)
        change = [b.detach() - a for a, b in zip(before, balances(model), strict=True)]
        if activation == "relu":
            change = [c.diagonal(dim1=1, dim2=2) for c in change]
        drifts.append(max(float(c.abs().max()) for c in change))
        assert (model(patterns().inputs) - start).abs().max() > 0.05
    assert drifts[0] < 1e-2
    assert drifts[1] < 2e-5
    assert drifts[1] <= drifts[0]


def test_the_loss_of_a_smooth_net_never_rises():
    state = TrainState(net())
    last = torch.full((3,), torch.inf, dtype=torch.float64)
    for _ in gradient_flow(state, MSE(), patterns(), budget=300, stride=1, criterion=NEVER):
        assert bool((state.members.loss <= last).all())
        last = state.members.loss.clone()
    assert state.members.kinks.tolist() == [0, 0, 0]
    assert bool((last < 0.3).all())


def test_satisfied_members_satisfy_all_patterns_and_stay_fixed():
    model, batch = net(width=10), patterns()
    state = TrainState(model)
    ends = {}
    for _ in gradient_flow(state, QuadraticHinge(), batch, budget=5000):
        for s, verdict in enumerate(state.members.verdicts):
            if verdict:
                ends.setdefault(s, [p[s].clone() for p in model.parameters()])
    assert state.members.verdicts == ["SAT"] * 3
    assert len(set(state.members.steps.tolist())) > 1
    assert (1 - batch.targets * model(batch.inputs)).max() <= 1e-6
    for s, weights in ends.items():
        for p, q in zip(model.parameters(), weights, strict=True):
            assert torch.equal(p[s], q)


@pytest.mark.parametrize("loss", [pytest.param(QuadraticHinge(), marks=pytest.mark.slow), Hinge()], ids=str)
def test_relu_and_hinge_cross_kinks_and_do_not_stall(loss):
    """Steps are far longer than rounding on average, kinks that are crossed are counted, the loss falls."""
    state = TrainState(net("relu"))
    flow = gradient_flow(state, loss, patterns(), budget=600, max_time=100.0, stride=200, criterion=NEVER)
    first = next(flow).members.loss.clone()
    for _ in flow:
        pass
    members = state.members
    assert bool((members.kinks > 20).all())
    assert bool((members.time / members.steps > 1e-3).all())
    assert bool((members.loss < 0.99 * first).all())
    assert "KINK" not in members.verdicts


@pytest.mark.slow
def test_a_member_at_a_kink_has_the_verdict_kink():
    """Three points of one label and one of the other at the same position.

    L falls in f until f = 1, where the hinge of the three ends, and rises from there on.
    """
    x = torch.ones(4, 4, dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, 1.0, -1.0], dtype=torch.float64)
    state = run(net(members=2), Hinge(), Batch(x, y))
    assert state.members.verdicts == ["KINK"] * 2
    torch.testing.assert_close(state.model(x), torch.ones(2, 4, dtype=torch.float64), rtol=0, atol=5e-3)
    assert bool((state.members.gradient_norm > 1e-3).all())


def test_a_member_at_a_minimum_is_unsat():
    x = torch.ones(2, 4, dtype=torch.float64)
    state = run(net(), QuadraticHinge(), Batch(x, torch.tensor([1.0, -1.0], dtype=torch.float64)))
    assert state.members.verdicts == ["UNSAT"] * 3
    torch.testing.assert_close(state.members.loss, torch.full((3,), 0.5, dtype=torch.float64))


def test_a_nan_member_does_not_change_the_others():
    together, alone = net(), net().select([0, 2])
    with torch.no_grad():
        together.weights[1][1] = torch.nan
    state = run(together, max_time=1.0)
    other = run(alone, max_time=1.0)
    assert state.members.verdicts[1] == "DIVERGED"
    assert state.members.steps[[0, 2]].tolist() == other.members.steps.tolist()
    torch.testing.assert_close(together.select([0, 2])(patterns().inputs), alone(patterns().inputs))
    assert math.isfinite(state.loss)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("stride", [1, 7])
def test_resumed_flow_has_the_same_bits(tmp_path, activation, stride):
    options = {"budget": 120, "stride": stride, "max_time": 30.0}
    whole = run(net(activation), **options)
    first = TrainState(net(activation))
    for _ in gradient_flow(first, QuadraticHinge(), patterns(), **options):
        if first.step > 40:
            break
    Checkpoint(tmp_path / "c", 1).write(first)
    second = TrainState(net(activation, generator=seeded(9)))
    Checkpoint(tmp_path / "c", 1).restore(second)
    for _ in gradient_flow(second, QuadraticHinge(), patterns(), **options):
        pass
    for p, q in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert torch.equal(second.members.time, whole.members.time)
    assert torch.equal(second.members.step_size, whole.members.step_size)
    assert torch.equal(second.members.kinks, whole.members.kinks)
    assert second.members.verdicts == whole.members.verdicts


def test_dense_output_does_not_change_the_flow_and_agrees_with_it():
    batch = patterns()
    plain, watched = net(), net()
    dense_output = DenseOutput.log_spaced(0.01, 1.0, per_decade=3, measure=lambda m: m(batch.inputs))
    options = {"tolerance": 1e-5, "slope_tolerance": 1e-3, "criterion": NEVER}
    run(plain, max_time=1.0, **options)
    run(watched, max_time=1.0, dense_output=dense_output, **options)
    for p, q in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(p, q)
    assert dense_output.times.tolist() == pytest.approx([0.01 * 10 ** (k / 3) for k in range(7)])
    for number, time in enumerate(dense_output.times.tolist()):
        model = net()
        run(model, max_time=time, **options)
        torch.testing.assert_close(
            dense_output.values[number], model(batch.inputs).detach(), rtol=0, atol=1e-5
        )


def test_dense_output_is_nan_at_times_that_a_member_has_not_reached():
    dense_output = DenseOutput([0.0, 0.5, 2.0])
    model = net()
    start = torch.cat([p.detach().flatten(1) for p in model.parameters()], 1)
    run(model, max_time=1.0, dense_output=dense_output)
    assert torch.equal(dense_output.values[0], start)
    assert bool(dense_output.values[1].isfinite().all())
    assert bool(dense_output.values[2].isnan().all())


def test_bad_input_of_gradient_flow_is_refused():
    model = net()
    with pytest.raises(ValueError, match="expected an ensemble"):
        run(net(members=None))
    with pytest.raises(ValueError, match=r"expected \+1 and -1"):
        run(model, batch=Batch(patterns().inputs, torch.zeros(8, dtype=torch.float64)))
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(ValueError, match="optimizer=None"):
        next(gradient_flow(state, QuadraticHinge(), patterns(), budget=1))
    for times in ([1.0, 1.0], [-1.0, 0.0]):
        with pytest.raises(ValueError, match="times: expected increasing"):
            DenseOutput(times)
    with pytest.raises(ValueError, match="0 < first"):
        DenseOutput.log_spaced(0.0, 1.0)
