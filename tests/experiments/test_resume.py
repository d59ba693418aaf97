"""A minimisation that is killed goes on where it was, and ends with the same bits."""

import pytest
import torch

from symnets.experiments import resume
from symnets.experiments.nets import NetConfig, minimise
from symnets.training import Callback
from symnets.training.trainer import Trainer

CONFIGS = [
    NetConfig(n_train=25, width=4, depth=2, dim=3, steps=400, dtype="float64", seed=s) for s in range(3)
]


class Killed(BaseException):
    """What no code catches."""


def killed_after(directory, configs, error=Killed):
    """Minimise within `resumable`, and be killed when it is done."""
    with resume.resumable(directory):
        minimise(configs)
        raise error("now")


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = minimise(CONFIGS)
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    fit = Trainer.fit

    class Axe(Callback):
        def __init__(self, after):
            self.after = after

        def after_step(self, state):
            if state.step >= self.after:
                raise Killed

    for after in (100, 260):
        monkeypatch.setattr(
            Trainer,
            "fit",
            lambda t, d, n=after: fit(Trainer(t.stop, record=t.record, callbacks=[*t.callbacks, Axe(n)]), d),
        )
        with pytest.raises(Killed), resume.resumable(tmp_path / "batch"):
            minimise(CONFIGS)
        assert (tmp_path / "batch" / "1.safetensors").is_file()
    monkeypatch.setattr(Trainer, "fit", fit)
    with resume.resumable(tmp_path / "batch"):
        resumed = minimise(CONFIGS)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.members.verdicts == resumed.members.verdicts
    assert torch.equal(whole.members.loss, resumed.members.loss)
    assert not (tmp_path / "batch").exists(), "checkpoints go when the run is done"


def test_a_run_of_two_minimisations_skips_the_one_that_was_done(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    first = minimise(CONFIGS)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS)
    with resume.resumable(tmp_path / "batch"):
        again = minimise(CONFIGS)
        second = minimise(CONFIGS[:1])
    assert torch.equal(first.model.weights[0], again.model.weights[0])
    assert second.model.members == 1


def test_checkpoints_of_other_configs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS[:1])
    with pytest.raises(ValueError, match="another configuration"), resume.resumable(tmp_path / "batch"):
        minimise(CONFIGS[1:2])


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "PERIOD", 0.0)
    with pytest.raises(RuntimeError, match="now"):
        killed_after(tmp_path / "batch", CONFIGS[:1], RuntimeError)
    assert not (tmp_path / "batch").exists()
