"""The trainer, dynamics, stop rules and schedules on a problem with a known answer."""

import math
import os
import signal
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from symnets.data import Loader
from symnets.training import (
    INTERRUPTED,
    Callback,
    Checkpoint,
    CSVLog,
    History,
    Trainer,
    TrainState,
    averaged,
    below,
    descend,
    diverged,
    every,
    first_of,
    learning_rate,
    log_spaced,
    max_steps,
    no_improvement,
    wall_time,
    with_average,
)


def squared(outputs, targets):
    return ((outputs - targets) ** 2).sum(1)


def line(n=12, seed=0):
    """A straight line y = 2x + 1 to learn, its loader and a fresh state."""
    x = torch.linspace(-1, 1, n)[:, None]
    loader = Loader(list(zip(x, 2 * x + 1, strict=True)), 4, shuffle=True, seed=seed)
    torch.manual_seed(seed)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.2, amsgrad=True)
    return TrainState(model, optimizer, learning_rate(optimizer, 400, warmup=5)), loader


def weights(state):
    return torch.cat([p.detach().flatten() for p in state.model.parameters()])


def test_descent_learns_a_line():
    state, loader = line()
    state = TrainState(state.model, torch.optim.SGD(state.model.parameters(), lr=0.3))
    history = Trainer(max_steps(400), {"loss": lambda s: s.loss}, every(100)).fit(
        descend(state, squared, loader)
    )
    torch.testing.assert_close(weights(state), torch.tensor([2.0, 1.0]), atol=1e-3, rtol=0)
    assert [row["step"] for row in history.rows] == [100, 200, 300, 400]
    assert history.reason == "400 steps done"


def test_one_step_of_plain_descent_is_minus_rate_times_gradient():
    state, loader = line()
    state = TrainState(state.model, torch.optim.SGD(state.model.parameters(), lr=0.1))
    before = weights(state)
    (batch, *_) = loader.epoch(0)
    x, y = batch
    error = x * before[0] + before[1] - y
    gradient = torch.stack([(2 * error * x).mean(), (2 * error).mean()])
    next(descend(state, squared, loader))
    torch.testing.assert_close(weights(state), before - 0.1 * gradient)


def test_clipping_bounds_the_step():
    state, loader = line()
    state = TrainState(state.model, torch.optim.SGD(state.model.parameters(), lr=1.0))
    before = weights(state)
    next(descend(state, squared, loader, clip_norm=0.01))
    assert (weights(state) - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_average_is_the_documented_recursion():
    state, loader = line()
    dynamics = averaged(descend(with_average(state), squared, loader), decay=0.9)
    expected = weights(state)
    for _ in range(30):
        next(dynamics)
        d = min(0.9, (1 + state.step) / (10 + state.step))
        expected = d * expected + (1 - d) * weights(state)
    found = torch.cat([p.flatten() for p in state.ema_model.parameters()])
    torch.testing.assert_close(found, expected)
    assert state.ema_model is state.averaged


def test_averaging_needs_with_average():
    state, loader = line()
    with pytest.raises(ValueError, match="with_average"):
        next(averaged(descend(state, squared, loader), 0.9))


@pytest.mark.parametrize("cut", [1, 7, 50])
def test_resumed_training_equals_the_uninterrupted_one(tmp_path, cut):
    def fit(state, loader, stop, checkpoint):
        dynamics = averaged(descend(state, squared, loader), 0.9)
        return Trainer(stop, {"loss": lambda s: s.loss}, every(10), [checkpoint]).fit(dynamics)

    state, loader = line()
    fit(with_average(state), loader, max_steps(80), Checkpoint(tmp_path / "whole", 10))
    first, loader = line()
    checkpoint = Checkpoint(tmp_path / "cut", 1000)
    fit(with_average(first), loader, max_steps(cut), checkpoint)
    second, loader = line(seed=0)
    torch.manual_seed(99)  # restoring brings the generator back too
    checkpoint.restore(with_average(second))
    fit(second, loader, max_steps(80), checkpoint)
    assert torch.equal(weights(second), weights(state))
    for ours, theirs in zip(second.ema_model.parameters(), state.ema_model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert second.history.rows[-1]["step"] == 80


def test_the_state_dict_restores_the_state():
    state, loader = line()
    steps = descend(with_average(state), squared, loader)
    for _ in range(5):
        next(steps)
    other, _ = line(seed=1)
    with_average(other).load_state_dict(state.state_dict())
    assert torch.equal(weights(other), weights(state))
    assert other.step == 5
    assert other.loss == state.loss
    bare, _ = line()
    with pytest.raises(ValueError, match="with_average"):
        bare.load_state_dict(state.state_dict())


def test_checkpoint_of_another_configuration_is_refused(tmp_path):
    state, _ = line()
    Checkpoint(tmp_path / "c", 1, "one").write(state)
    with pytest.raises(ValueError, match="another configuration"):
        Checkpoint(tmp_path / "c", 1, "two").restore(state)


def test_interrupt_ends_after_the_step_and_keeps_the_checkpoint(tmp_path):
    class Interrupt(Callback):
        def after_step(self, state):
            if state.step == 7:
                os.kill(os.getpid(), signal.SIGINT)

    state, loader = line()
    checkpoint = Checkpoint(tmp_path / "c", 1000)
    history = Trainer(max_steps(100), callbacks=[Interrupt(), checkpoint]).fit(
        descend(state, squared, loader)
    )
    assert history.reason == INTERRUPTED
    assert state.step == 8  # the signal arrives between two steps
    restored, _ = line()
    checkpoint.restore(restored)
    assert restored.step == state.step
    assert torch.equal(weights(restored), weights(state))


def test_interrupt_can_be_raised_after_the_checkpoint_is_written(tmp_path):
    class Interrupt(Callback):
        closed = False

        def after_step(self, state):
            if state.step == 7:
                os.kill(os.getpid(), signal.SIGTERM)

        def close(self):
            self.closed = True

    state, loader = line()
    callback, checkpoint = Interrupt(), Checkpoint(tmp_path / "c", 1000)
    trainer = Trainer(max_steps(100), callbacks=[callback, checkpoint], on_interrupt="raise")
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(descend(state, squared, loader))
    assert callback.closed
    restored, _ = line()
    checkpoint.restore(restored)
    assert restored.step == state.step == 8
    with pytest.raises(ValueError, match="expected 'stop' or 'raise', got 'ask'"):
        Trainer(max_steps(1), on_interrupt="ask")  # pyright: ignore


def test_the_csv_log_is_complete_at_all_times(tmp_path):
    class Look(Callback):
        def after_record(self, state, row):
            assert len((tmp_path / "h.csv").read_text().splitlines()) == len(state.history.rows) + 1

    state, loader = line()
    callbacks = [CSVLog(tmp_path / "h.csv"), Look()]
    Trainer(max_steps(30), record=every(10), callbacks=callbacks).fit(descend(state, squared, loader))
    assert [p.name for p in tmp_path.iterdir()] == ["h.csv"]


def state_with(**values):
    state, _ = line()
    for name, value in values.items():
        setattr(state, name, value)
    return state


def test_stop_rules_give_their_reason():
    falling = History([{"e": 3.0}, {"e": 1.0}, {"e": 2.0}, {"e": 1.5}])
    assert max_steps(5)(state_with(step=4)) is None
    assert max_steps(5)(state_with(step=5)) == "5 steps done"
    assert wall_time(10)(state_with(seconds=9.0)) is None
    assert "10 s of wall time" in (wall_time(10)(state_with(seconds=11.0)) or "")
    assert wall_time(10, since=5.0)(state_with(seconds=14.0)) is None
    assert "10 s of wall time" in (wall_time(10, since=5.0)(state_with(seconds=15.0)) or "")
    assert below("e", 1.2)(state_with(history=falling)) is None
    assert below("e", 1.6)(state_with(history=falling)) == "e = 1.5 < 1.6"
    assert no_improvement("e", 3)(state_with(history=falling)) is None
    assert "did not improve" in (no_improvement("e", 2)(state_with(history=falling)) or "")
    assert "nan" in (diverged()(state_with(step=3, loss=math.nan)) or "")
    assert first_of(max_steps(9), wall_time(1))(state_with(seconds=2.0)) == "1 s of wall time used"


def history(*values: float) -> History:
    return History([{"e": value} for value in values])


def test_the_best_value_is_the_first_of_the_lowest():
    assert history(3.0, 1.0, 2.0, 1.0).best("e") == 1
    assert history(3.0, 1.0).is_best("e")
    assert not history(3.0, 1.0, 1.0).is_best("e")
    assert history().best("e") is None
    assert not history().is_best("e")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_never_the_best(bad):
    assert not history(bad).is_best("e")
    assert not history(1.0, bad).is_best("e")
    assert history(bad, 2.0).is_best("e")
    assert history(bad, 2.0, bad, 3.0).best("e") == 1
    stop = no_improvement("e", 2)
    assert stop(state_with(history=history(bad, 2.0, bad))) is None
    assert stop(state_with(history=history(bad, 2.0, bad, 3.0))) == "e did not improve in 2 records"
    assert stop(state_with(history=history(bad, 2.0, bad, 1.0))) is None
    assert stop(state_with(history=history(bad))) is None
    assert stop(state_with(history=history(bad, bad))) == "e was NaN or infinite in 2 records"


@pytest.mark.parametrize("decay", ["linear", "cosine", "exponential", "constant"])
def test_schedules_start_at_one_and_end_at_the_final_factor(decay):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = learning_rate(optimizer, 50, decay=decay, warmup=10, final=0.1)
    rates = []
    for _ in range(51):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1.0 if decay == "constant" else 0.1)
    assert all(a >= b - 1e-12 for a, b in pairwise(rates[10:]))


def test_records_are_evenly_spaced_in_time_or_its_logarithm():
    assert [n for n in range(1, 31) if every(10)(n)] == [10, 20, 30]
    steps = [n for n in range(1, 1001) if log_spaced(3)(n)]
    assert steps[0] == 1
    assert {10, 100, 1000} <= set(steps)
    assert 8 <= len(steps) <= 10


def test_warmup_longer_than_the_training_is_refused():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="0 <= warmup < 5"):
        learning_rate(optimizer, 5, warmup=5)


def test_callbacks_are_closed_after_an_error_too():
    class Closed(Callback):
        closed = False

        def close(self):
            self.closed = True

    def broken():
        state, _ = line()
        yield state
        raise OSError("disk full")

    callback = Closed()
    with pytest.raises(OSError, match="disk full"):
        Trainer(max_steps(10), callbacks=[callback]).fit(broken())
    assert callback.closed


def test_a_diverged_state_does_not_replace_the_last_finite_one(tmp_path):
    state, loader = line()
    next(descend(state, squared, loader))
    checkpoint = Checkpoint(tmp_path / "c", 1)
    checkpoint.write(state)
    before = (tmp_path / "c").read_bytes()
    state.step, state.loss = 2, math.nan
    checkpoint.after_step(state)
    checkpoint.at_end(state)
    assert (tmp_path / "c").read_bytes() == before


def test_observables_may_be_any_kind_of_number():
    state, loader = line()
    kinds = {"python": 1, "numpy": np.float32(2), "torch": torch.tensor(3.0), "words": "no number"}
    history = Trainer(max_steps(1), {"x": lambda s: kinds}).fit(descend(state, squared, loader))
    found = {name: value for name, value in history.rows[0].items() if name.startswith("x/")}
    assert found == {"x/python": 1.0, "x/numpy": 2.0, "x/torch": 3.0}
