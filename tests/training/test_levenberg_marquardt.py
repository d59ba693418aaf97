"""Levenberg-Marquardt: steps against a dense solve by autograd, verdicts, and a published transition."""

import pytest
import torch

from symnets.data import Batch
from symnets.models import Convolutional, Dense
from symnets.training import (
    MSE,
    Checkpoint,
    Criterion,
    CrossEntropy,
    Hinge,
    Members,
    QuadraticHinge,
    TrainState,
    descend_members,
    levenberg_marquardt,
)
from symnets.training._active_members import ActiveMembers, point
from symnets.training._levenberg_marquardt import damped_step

EXACT = Criterion(tolerance=1e-10)  # a gap of 1e-10 is a loss of at most 5e-21


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def patterns(n=10, d=4):
    x = torch.randn(n, d, generator=seeded(1), dtype=torch.float64)
    x *= d**0.5 / x.norm(dim=1, keepdim=True)
    return Batch(x, torch.tensor([1.0, -1.0] * (n // 2), dtype=torch.float64))


def net(activation="tanh", width=6, **options):
    options = {"members": 3, "generator": seeded(), "dtype": torch.float64} | options
    return Dense(4, width, 2, activation=activation, **options)


def run(model, batch, loss=None, **options):
    state = TrainState(model)
    options = {"budget": 200, "criterion": EXACT} | options
    for _ in levenberg_marquardt(state, loss or QuadraticHinge(), batch, **options):
        pass
    return state.members


@pytest.mark.parametrize("loss", [QuadraticHinge(), MSE(), CrossEntropy()], ids=str)
@pytest.mark.parametrize("n", [6, 200])  # fewer and more patterns than weights
@pytest.mark.parametrize("bias", [False, True])
def test_the_step_solves_the_damped_normal_equations(loss, n, bias):
    """(H_0 + λ/n) δ = -∇L, with H_0 = (1/n) Σ_μ ℓ'' ∇f_μ ∇f_μᵀ by autograd; L falls as the model says."""
    model, batch, damping = net(bias=bias), patterns(n), torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    at = point(ActiveMembers(TrainState(model), batch), loss)
    step = damped_step(model, batch.inputs, batch.targets, loss, at, damping, 1.0)
    for s in range(3):
        single = model.member(s)
        f = single(batch.inputs)
        rows = [torch.autograd.grad(v, list(single.parameters()), retain_graph=True) for v in f]
        jacobian = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
        f = f.detach()
        h0 = jacobian.T @ (loss.d2(f, batch.targets)[:, None] * jacobian) / n
        gradient = jacobian.T @ loss.d1(f, batch.targets) / n
        ridge = damping[s] / n * torch.eye(len(h0), dtype=torch.float64)
        expected = -torch.linalg.solve(h0 + ridge, gradient)
        torch.testing.assert_close(step.change[s], expected, rtol=1e-8, atol=1e-10)
        promised = -(gradient @ expected + 0.5 * expected @ h0 @ expected)
        torch.testing.assert_close(step.predicted[s], promised, rtol=1e-8, atol=1e-12)


def test_satisfied_members_satisfy_all_patterns_to_second_order():
    model, batch = net(width=10), patterns()
    members = run(model, batch)
    assert members.verdicts == ["SAT"] * 3
    assert (1 - batch.targets * model(batch.inputs)).max() <= 1e-10
    assert members.loss.max() < 1e-20


def test_the_loss_of_every_member_only_falls():
    state, last = TrainState(net(width=3)), torch.full((3,), torch.inf, dtype=torch.float64)
    for _ in levenberg_marquardt(state, QuadraticHinge(), patterns(60), budget=60):
        assert bool((state.members.loss <= last).all())
        last = state.members.loss.clone()


def test_equal_points_with_opposite_labels_end_at_a_minimum():
    x = torch.ones(2, 4, dtype=torch.float64)
    members = run(net(), Batch(x, torch.tensor([1.0, -1.0], dtype=torch.float64)))
    assert members.verdicts == ["UNSAT"] * 3
    assert members.steps.max() < 200
    torch.testing.assert_close(members.loss, torch.full((3,), 0.5, dtype=torch.float64))
    assert bool((members.gradient_norm < 1e-6).all())


def test_members_equal_single_nets():
    batch = patterns(60)
    together = net(width=3)
    singles = [together.select([s]) for s in range(3)]
    run(together, batch, budget=10)
    for s in range(3):
        run(singles[s], batch, budget=10)
        torch.testing.assert_close(
            together(batch.inputs)[s], singles[s](batch.inputs)[0], rtol=1e-8, atol=1e-8
        )


def test_relu_at_a_kink_of_the_loss_is_a_kink():
    """f = √2 w_2 relu(w_1 x) exactly at w_1 = 0, with w_2 < 0: both signs of w_1 make one label worse.

    The slope stays finite up to w_1 = 0, and the quadratic model does not include the other side.
    """
    model = Dense(1, 1, 1, activation="relu", members=1, dtype=torch.float64)
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    with torch.no_grad():
        model.weights[0].fill_(1e-13)
        model.weights[1].fill_(-1.0)
    members = run(model, Batch(x, torch.ones(2, dtype=torch.float64)), budget=200)
    assert members.verdicts == ["KINK"]
    assert members.gradient_norm[0] > 0.1


@pytest.mark.parametrize("cut", [1, 7])
def test_resumed_minimisation_has_the_same_bits(tmp_path, cut):
    batch, whole = patterns(40), net(width=4)
    done = run(whole, batch, budget=30)
    first, options = TrainState(net(width=4)), {"budget": 30, "criterion": EXACT}
    for number, _ in enumerate(levenberg_marquardt(first, QuadraticHinge(), batch, **options)):
        if number == cut:
            break
    Checkpoint(tmp_path / "c", 1).write(first)
    second = TrainState(net(width=4, generator=seeded(5)))
    Checkpoint(tmp_path / "c", 1).restore(second)
    for _ in levenberg_marquardt(second, QuadraticHinge(), batch, **options):
        pass
    for p, q in zip(second.model.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, q)
    assert isinstance(second.members, Members)
    assert torch.equal(second.members.step_size, done.step_size)
    assert second.members.verdicts == done.verdicts


def test_a_nan_member_does_not_change_the_others():
    model, batch = net(width=10), patterns()
    with torch.no_grad():
        model.weights[1][1] = torch.nan
    assert run(model, batch).verdicts == ["SAT", "DIVERGED", "SAT"]


def test_bad_input_of_levenberg_marquardt_is_refused():
    with pytest.raises(ValueError, match="slope is not 0, got Hinge"):
        run(net(), patterns(), Hinge())
    with pytest.raises(TypeError, match="its class is Convolutional"):
        run(Convolutional((1, 2, 2), 3, 1, members=1), patterns())
    with pytest.raises(ValueError, match=r"expected \+1 and -1"):
        run(net(), Batch(patterns().inputs, torch.zeros(10, dtype=torch.float64)))
    with pytest.raises(ValueError, match="expected an ensemble"):
        run(net(members=None), patterns())
    state = TrainState(net(), torch.optim.SGD(net().parameters(), lr=1.0))
    with pytest.raises(ValueError, match="optimizer=None"):
        next(levenberg_marquardt(state, QuadraticHinge(), patterns(), budget=1))


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "satisfied"), [(1, True), (2, True), (4, False)])
def test_tanh_nets_jam_between_two_and_four_patterns_per_weight(ratio, satisfied):
    """d = h = 14, L = 3, N = 602, random labels, after 300 steps of Adam; the jump is inside 2..4."""
    batch = patterns(ratio * 602, 14)
    model = Dense(14, 14, 3, activation="tanh", members=2, generator=seeded(1), dtype=torch.float64)
    state = TrainState(model, torch.optim.Adam(model.parameters(), lr=0.01))
    for _ in descend_members(state, QuadraticHinge(), batch, budget=300, stride=100):
        pass
    members = run(model, batch, budget=100)
    if satisfied:
        assert members.verdicts == ["SAT"] * 2
        assert members.loss.max() < 1e-20
    else:
        assert "SAT" not in members.verdicts
        assert bool((members.n_unsatisfied > 0.5 * 602).all())
