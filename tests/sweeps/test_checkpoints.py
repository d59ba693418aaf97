"""A minimisation that is killed is resumed, and ends with the same bits."""

import math
from dataclasses import replace

import pytest
import torch

from symnets.data import Batch as Patterns
from symnets.data import read_archive, write_archive
from symnets.setups import EarlyStopping, NetConfig, minimise, patterns
from symnets.sweeps import Serial, batches, sweep
from symnets.sweeps import _checkpoints as module
from symnets.sweeps._batches import Batch
from symnets.training import Callback, Checkpoint, Trainer, TrainState
from tests.sweeps import toy_noise

CONFIGS = [
    NetConfig(n_train=25, width=4, depth=2, dim=3, steps=400, dtype="float64", seed=s) for s in range(3)
]


@pytest.fixture(scope="module")
def whole():
    """The minimisation without interruption."""
    return minimise(CONFIGS)


class Killed(BaseException):
    """An exception that no code catches, as after `kill -9`."""


def killed_after(directory, configs, error: type[BaseException] = Killed):
    """Minimise inside `resumable`, and raise an exception at the end."""
    with module.resumable(directory):
        minimise(configs)
        raise error("now")


def test_a_minimisation_killed_twice_ends_with_the_same_bits(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    fit = Trainer.fit
    for after in (100, 260):
        monkeypatch.setattr(
            Trainer,
            "fit",
            lambda t, d, n=after: fit(Trainer(t.stop, record=t.record, callbacks=[*t.callbacks, Axe(n)]), d),
        )
        with pytest.raises(Killed), module.resumable(tmp_path / "batch"):
            minimise(CONFIGS)
        assert (tmp_path / "batch" / "1.safetensors").is_file()
    monkeypatch.setattr(Trainer, "fit", fit)
    with module.resumable(tmp_path / "batch"):
        resumed = minimise(CONFIGS)
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert whole.members.verdicts == resumed.members.verdicts
    assert torch.equal(whole.members.loss, resumed.members.loss)
    assert not (tmp_path / "batch").exists(), "checkpoints are removed when the run is done"


@pytest.mark.slow
def test_a_run_of_two_minimisations_does_not_repeat_the_first(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS)
    with module.resumable(tmp_path / "batch"):
        again = minimise(CONFIGS)
        second = minimise(CONFIGS[:1])
    assert torch.equal(whole.model.weights[0], again.model.weights[0])
    assert second.model.members == 1


def same_nets(one, two):
    """Equal to the last bit."""
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.members.verdicts == two.members.verdicts


def cut(file, monkeypatch):
    """The file is truncated, as after a power cut."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def of_other_code(file, monkeypatch):
    """A commit was made meanwhile."""
    monkeypatch.setattr(module, "provenance", lambda: {"commit": "of another day"})


def of_fewer_tensors(file, monkeypatch):
    """Without the state of the optimiser: found only when part of the state has been restored."""
    tensors, header = read_archive(file, "checkpoint")
    del header["optimizer_numbers"]
    write_archive(file, "checkpoint", tensors, header)


@pytest.mark.parametrize(
    "spoil",
    [cut, *(pytest.param(each, marks=pytest.mark.slow) for each in (of_other_code, of_fewer_tensors))],
)
def test_a_checkpoint_that_cannot_be_used_is_ignored(spoil, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS)
    spoil(tmp_path / "batch" / "1.safetensors", monkeypatch)
    with module.resumable(tmp_path / "batch") as place:
        same_nets(minimise(CONFIGS), whole)
        assert place.seconds == 0.0


@pytest.mark.slow
def test_checkpoints_of_other_configs_are_not_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS[:1])
    with module.resumable(tmp_path / "batch"):
        same_nets(minimise(CONFIGS[1:2]), minimise(CONFIGS[1:2]))


def test_seconds_of_earlier_sessions_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with pytest.raises(Killed):
        killed_after(tmp_path / "batch", CONFIGS)
    _, header = read_archive(tmp_path / "batch" / "1.safetensors", "checkpoint")
    with module.resumable(tmp_path / "batch") as place:
        minimise(CONFIGS)
        assert place.seconds == header["seconds"] > 0


class Axe(Callback):
    """Kills a minimisation after a step."""

    def __init__(self, after):
        self.after = after

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def after_step(self, state):
        if state.step >= self.after:
            raise Killed


def minimise_with_early_stopping(configs, axe):
    """Minimise with early stopping on held-out patterns."""
    tests = [patterns(config).test for config in configs]
    stacked = Patterns(torch.stack([t.inputs for t in tests]), torch.stack([t.targets for t in tests]))
    early = EarlyStopping(stacked)
    minimise(configs, [early, axe])
    return early


def test_early_stopping_is_resumed_with_its_best_step(tmp_path, monkeypatch):
    """The best step is before the kill, so it is lost unless the checkpoint has it."""
    monkeypatch.setattr(module, "PERIOD", 0.0)
    configs = [replace(config, n_test=40) for config in CONFIGS]
    whole = minimise_with_early_stopping(configs, Axe(math.inf))
    killed_at = int(whole.step.min()) + 41
    with pytest.raises(Killed), module.resumable(tmp_path / "batch"):
        minimise_with_early_stopping(configs, Axe(killed_at))
    with module.resumable(tmp_path / "batch") as place:
        resumed = minimise_with_early_stopping(configs, Axe(math.inf))
        assert place.seconds > 0
    for name in ("step", "validation_error", "error", "norm"):
        assert torch.equal(getattr(whole, name), getattr(resumed, name)), name


def test_with_a_callback_without_a_state_there_is_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with module.resumable(tmp_path / "batch"):
        minimise(CONFIGS[:1], [Callback()])
        assert not (tmp_path / "batch").exists()


def test_a_checkpoint_is_restored_only_with_the_callbacks_it_was_written_with(tmp_path):
    model = torch.nn.Linear(1, 1)
    Checkpoint(tmp_path / "c", callbacks=[Axe(1)]).write(TrainState(model))
    with pytest.raises(ValueError, match="expected the state of 0 callbacks, got 1"):
        Checkpoint(tmp_path / "c").restore(TrainState(model))


def test_checkpoints_of_batches_that_are_done_are_removed(tmp_path):
    """Those of a batch, and of one of its runs alone; those of another batch are kept."""
    todo = toy_noise.PRESETS["quick"]
    (batch, *_) = batches(toy_noise, todo)
    single = Batch(batch.hashes[:1], batch.configs[:1])  # as a worker runs it after a failure
    for name in (batch.id, single.id, "other"):
        (tmp_path / module.CHECKPOINTS / name).mkdir(parents=True)
        (tmp_path / module.CHECKPOINTS / name / "1.safetensors").touch()
    sweep(toy_noise, todo, tmp_path, executor=Serial(), progress=False)
    assert [path.name for path in (tmp_path / module.CHECKPOINTS).iterdir()] == ["other"]
    (tmp_path / module.CHECKPOINTS / "other" / "1.safetensors").unlink()
    module.remove_checkpoints(tmp_path / module.CHECKPOINTS, ["other"])
    assert not (tmp_path / module.CHECKPOINTS).exists()


def test_a_run_that_fails_leaves_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.0)
    with pytest.raises(RuntimeError, match="now"):
        killed_after(tmp_path / "batch", CONFIGS[:1], RuntimeError)
    assert not (tmp_path / "batch").exists()
