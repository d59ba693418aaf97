"""Training on another device than the CPU: no mixed devices, no synchronisation, portable checkpoints."""

import math

import pytest
import torch
from torch import Tensor, nn

from symnets.data import Loader
from symnets.training import (
    Checkpoint,
    Muon,
    Trainer,
    TrainState,
    averaged,
    descend,
    diverged,
    every,
    learning_rate,
    max_steps,
    with_average,
)
from symnets.training._stopping import CHECK_EVERY
from tests.second_device import on_device, second_device


def fresh(device: str, method: str, rate: float = 0.05) -> TrainState:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double().to(device)
    if method == "Muon":
        parts = list(model.parameters())
        optimizer = Muon([p for p in parts if p.ndim == 2], [p for p in parts if p.ndim == 1], lr=rate)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, amsgrad=True)
    return with_average(TrainState(model, optimizer, learning_rate(optimizer, 20)))


def steps(state: TrainState):
    x = torch.linspace(-1, 1, 24, dtype=torch.float64).view(12, 2)
    loader = Loader(list(zip(x, x[:, :1].sin(), strict=True)), 4, shuffle=True)
    return averaged(descend(state, lambda y, t: ((y - t) ** 2).sum(1), loader, clip_norm=1.0), 0.9)


def fit(state: TrainState, n: int, *callbacks) -> TrainState:
    Trainer(max_steps(n), {"x": lambda s: s.loss}, every(4), callbacks).fit(steps(state))
    return state


def weights(state: TrainState) -> Tensor:
    parts = [*state.model.parameters(), *state.ema_model.parameters()]
    return torch.cat([p.detach().cpu().flatten() for p in parts])


@pytest.mark.parametrize("method", ["AdamW", "Muon"])
def test_a_training_equals_that_of_the_cpu_and_moves_between_devices(method, tmp_path):
    whole = fit(fresh("cpu", method), 15)
    checkpoint = Checkpoint(tmp_path / "c", 100)
    with second_device():
        fit(fresh("cuda", method), 5, checkpoint)
    here = fresh("cpu", method)
    checkpoint.restore(here)
    fit(here, 10, checkpoint)
    with second_device():
        there = fresh("cuda", method)
        checkpoint.restore(there)
        fit(there, 15)
        assert all(on_device(p) for p in there.model.parameters())
        moments = [v for slot in there.optimizer.state.values() for k, v in slot.items() if k != "step"]
        assert moments
        assert all(on_device(value) for value in moments)
        torch.testing.assert_close(weights(there), weights(whole), rtol=1e-12, atol=1e-14)
    assert [row["step"] for row in there.history.rows] == [4, 5, 8, 10, 12, 15]
    ends = {row["step"]: row["loss"] for row in whole.history.rows}
    found = {row["step"]: row["loss"] for row in there.history.rows if row["step"] in ends}
    assert found == pytest.approx(ends, rel=1e-12)


def test_a_loss_on_a_gpu_is_transferred_only_when_read():
    with second_device():
        state = fresh("cuda", "AdamW")
        next(steps(state))
        assert on_device(state.last_loss)
        assert diverged()(state) is None
        assert on_device(state.last_loss)  # still on the device
        assert state.loss > 0
        assert isinstance(state.last_loss, float)


def test_a_training_that_diverges_on_a_gpu_is_stopped_within_some_steps():
    with second_device():
        state = fresh("cuda", "AdamW")
        with torch.no_grad():
            next(state.model.parameters()).fill_(torch.nan)
        history = Trainer(diverged(), record=every(1000)).fit(steps(state))
    assert state.step == CHECK_EVERY
    assert "nan" in history.reason
    assert math.isnan(history.rows[-1]["loss"])


def test_the_generator_of_the_gpu_of_the_training_is_saved(monkeypatch):
    """Only the generator of the GPU in use is saved, and restored on the GPU that continues."""
    states, asked = {"cuda:0": torch.arange(16, dtype=torch.uint8)}, []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[str(device)])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda new, device: asked.append((new, str(device))))
    with second_device():
        state = fresh("cuda", "AdamW")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        state.load_state_dict(state.state_dict())
    ((restored, device),) = asked
    assert torch.equal(restored, states["cuda:0"])
    assert device == "cuda:0"
    here = fresh("cpu", "AdamW")
    saved = here.state_dict()
    assert "generator/cuda" not in saved
    here.load_state_dict(saved | {"generator/cuda": states["cuda:0"]})
    assert len(asked) == 1  # a training on the CPU restores no generator of a GPU
