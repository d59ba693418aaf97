"""Gradient descent of an ensemble equals that of S single nets, each of which ends by itself."""

import pytest
import torch
from torch import nn

from symnets.data import Batch, Loader
from symnets.models import Convolutional, Dense, Ensemble
from symnets.training import Checkpoint, Criterion, Hinge, QuadraticHinge, TrainState, descend_members


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def patterns(n=8, d=4):
    x = torch.randn(n, d, generator=seeded(1), dtype=torch.float64)
    return Batch(x, torch.tensor([1.0, -1.0] * (n // 2), dtype=torch.float64))


def net(members=3, width=6, **options):
    return Dense(4, width, 2, members=members, generator=seeded(), dtype=torch.float64, **options)


def adam(model, rate=0.02):
    return TrainState(model, torch.optim.Adam(model.parameters(), lr=rate))


def run(state, batch, **options):
    for _ in descend_members(state, QuadraticHinge(), batch, **options):
        pass
    return state.members


def by_hand(model, batch, steps, rate=0.02):
    """Full-batch Adam on a single net."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        QuadraticHinge()(model(batch.inputs), batch.targets).mean().backward()
        optimizer.step()
    return model


def satisfied_first(model, batch):
    """Member 0 has been trained, and needs a few steps more to satisfy all patterns."""
    single = by_hand(model.member(0), batch, 400)
    with torch.no_grad():
        for p, q in zip(model.parameters(), single.parameters(), strict=True):
            p[0] = 0.95 * q
    return model


def test_an_ensemble_equals_its_single_nets_and_a_finished_member_stays_fixed():
    batch = patterns()
    model = satisfied_first(net(), batch)
    singles = [model.member(s) for s in range(3)]
    state = adam(model)
    flow = descend_members(state, QuadraticHinge(), batch, budget=20, stride=1)
    finished = None
    for _ in flow:
        if state.members.verdicts[0] and finished is None:
            finished = state.step, [p[0].clone() for p in model.parameters()]
    steps, weights = finished
    assert 0 < steps < 20
    assert state.members.steps.tolist() == [steps, 20, 20]
    assert state.members.verdicts[0] == "SAT"
    for p, q in zip(model.parameters(), weights, strict=True):
        assert torch.equal(p[0], q)
    for s, n in enumerate([steps, 20, 20]):
        expected = by_hand(singles[s], batch, n)
        for p, q in zip(model.parameters(), expected.parameters(), strict=True):
            # Adam divides by √v, which lifts rounding of small gradients.
            torch.testing.assert_close(p[s], q, rtol=1e-9, atol=1e-11)


def test_members_with_separate_data_equal_single_nets():
    x, y = torch.randn(3, 8, 4, generator=seeded(1), dtype=torch.float64), patterns().targets
    batch = Batch(x, torch.stack([y, -y, y]))
    state = adam(net())
    singles = [state.model.member(s) for s in range(3)]
    run(state, batch, budget=20)
    for s in range(3):
        expected = by_hand(singles[s], Batch(batch.inputs[s], batch.targets[s]), 20)
        torch.testing.assert_close(state.model.member(s)(batch.inputs[s]), expected(batch.inputs[s]))


def test_satisfied_members_satisfy_all_patterns():
    batch = patterns()
    state = adam(net(members=4, width=10))
    members = run(state, batch, budget=2000)
    assert members.verdicts == ["SAT"] * 4
    assert (1 - batch.targets * state.model(batch.inputs)).max() <= 1e-6
    assert members.n_unsatisfied.tolist() == [0] * 4
    assert members.loss.max() <= 1e-12


def test_a_member_that_cannot_satisfy_all_patterns_is_at_a_minimum():
    """Equal points with opposite labels: the best is f = 0 with L = 1/2, a minimum of a linear net."""
    x = torch.ones(2, 4, dtype=torch.float64)
    model = Dense(4, 3, 1, activation="linear", members=2, generator=seeded(), dtype=torch.float64)
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.5))
    members = run(state, Batch(x, torch.tensor([1.0, -1.0], dtype=torch.float64)), budget=5000)
    assert members.verdicts == ["UNSAT"] * 2
    assert members.gradient_norm.max() < 1e-8
    torch.testing.assert_close(members.loss, torch.full((2,), 0.5, dtype=torch.float64))


def test_a_member_still_falling_when_the_budget_ends_is_unconverged():
    members = run(adam(net(), 0.003), patterns(), budget=300, criterion=Criterion(fall=1.01))
    assert "UNCONVERGED" in members.verdicts


def test_a_diverged_member_does_not_change_the_others():
    batch = patterns()
    model = net()
    with torch.no_grad():
        model.weights[1][1] = torch.nan
    singles = [model.member(s) for s in range(3)]
    state = adam(model)
    members = run(state, batch, budget=20)
    assert members.verdicts[1] == "DIVERGED"
    assert members.steps.tolist() == [20, 0, 20]
    assert torch.isfinite(torch.tensor(state.loss))  # of the others: a checkpoint is still written
    for s in (0, 2):
        expected = by_hand(singles[s], batch, 20)
        torch.testing.assert_close(model.member(s)(batch.inputs), expected(batch.inputs))


@pytest.mark.parametrize("cut", [0, 3, 11])
def test_resumed_descent_has_the_same_bits(tmp_path, cut):
    batch = patterns()
    options = {"budget": 40, "stride": 2}
    whole = adam(satisfied_first(net(), batch))
    run(whole, batch, **options)
    first = adam(satisfied_first(net(), batch))
    for number, _ in enumerate(descend_members(first, QuadraticHinge(), batch, **options)):
        if number == cut:
            break
    Checkpoint(tmp_path / "c", 1).write(first)
    second = adam(net())
    Checkpoint(tmp_path / "c", 1).restore(second)
    run(second, batch, **options)
    for p, q in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert second.members.verdicts == whole.members.verdicts
    assert torch.equal(second.members.steps, whole.members.steps)
    assert whole.members.steps[0] < 40


@pytest.mark.parametrize("kind", ["convolutional", "ensemble"])
def test_other_ensembles_can_be_trained(kind):
    batch = patterns()
    if kind == "ensemble":
        singles = [
            nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)) for _ in range(2)
        ]
        model = Ensemble([single.double() for single in singles])
    else:
        batch = Batch(batch.inputs.view(-1, 1, 2, 2), batch.targets)
        options = {"stride": 1, "bias": True, "members": 2, "generator": seeded(), "dtype": torch.float64}
        model = Convolutional((1, 2, 2), 16, 2, **options)
    members = run(adam(model), batch, budget=3000)
    assert members.verdicts == ["SAT"] * 2
    assert (1 - batch.targets * model(batch.inputs)).max() <= 1e-6


@pytest.mark.parametrize("own", [False, True], ids=["patterns of all", "patterns of each"])
def test_minibatches_are_those_of_a_loader(own):
    """Each member takes the steps of a single net over the batches of a shuffled loader."""
    x, y = patterns()
    batch = Batch(torch.stack([x, -x, 2 * x]), torch.stack([y, -y, y])) if own else Batch(x, y)
    model, never = net(), Criterion(tolerance=-1e9, gradient=0.0)
    singles = [model.member(s) for s in range(3)]
    with torch.no_grad():
        model.weights[1][1] = torch.nan  # finishes at the first look, the others go on
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5))
    members = run(state, batch, budget=7, stride=2, batch_size=3, seed=5, criterion=never)
    assert members.steps.tolist() == [7, 0, 7]
    assert state.epoch == pytest.approx(7 / 3)  # 8 patterns are batches of 3, 3 and 2
    for s in (0, 2):
        examples = list(
            zip(batch.inputs[s], batch.targets[s], strict=True) if own else zip(x, y, strict=True)
        )
        loader = Loader(examples, 3, shuffle=True, seed=5)
        optimizer = torch.optim.SGD(singles[s].parameters(), lr=0.1, momentum=0.5)
        for _, part in zip(range(7), (b for k in range(3) for b in loader.epoch(k)), strict=False):
            optimizer.zero_grad()
            QuadraticHinge()(singles[s](part.inputs), part.targets).mean().backward()
            optimizer.step()
        for p, q in zip(model.member(s).parameters(), singles[s].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-13)
        mine = Batch(batch.inputs[s], batch.targets[s]) if own else batch
        expected = QuadraticHinge()(singles[s](mine.inputs), mine.targets).mean()  # on all patterns
        assert float(members.loss[s]) == pytest.approx(expected.item(), rel=1e-11)


@pytest.mark.parametrize("cut", [0, 2])
def test_resumed_stochastic_descent_has_the_same_bits(tmp_path, cut):
    batch, options = patterns(), {"budget": 20, "stride": 4, "batch_size": 3, "seed": 2}
    whole, first, second = (adam(net(width=3)) for _ in range(3))
    run(whole, batch, **options)
    for number, _ in enumerate(descend_members(first, QuadraticHinge(), batch, **options)):
        if number == cut:
            break
    Checkpoint(tmp_path / "c", 1).write(first)
    Checkpoint(tmp_path / "c", 1).restore(second)
    run(second, batch, **options)
    assert whole.step == second.step > 4 * (cut + 1)
    for p, q in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_bad_input_of_descent_is_refused():
    with pytest.raises(ValueError, match="expected an ensemble"):
        run(adam(net(members=None)), patterns(), budget=1)
    with pytest.raises(ValueError, match=r"expected \+1 and -1"):
        run(adam(net()), Batch(patterns().inputs, torch.arange(8.0).double()), budget=1)
    with pytest.raises(ValueError, match="optimizer is None"):
        next(descend_members(TrainState(net()), Hinge(), patterns(), budget=1))
