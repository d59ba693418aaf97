"""Training of a potential from a file, also interrupted or killed and resumed."""

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import ase.io
import pytest
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from symnets.cli import main
from symnets.config import write_config
from symnets.data import read_archive, read_header, write_archive
from symnets.files import locked
from symnets.models import describe, load
from symnets.potentials import LossConfig, ModelConfig, train
from symnets.potentials._validation import BestModel, after_training
from symnets.provenance import provenance
from symnets.training import History
from tests.forked import forks
from tests.potentials.training import run_train


def weights(path, kind="checkpoint"):
    tensors, _ = read_archive(path, kind)
    return tensors


@pytest.mark.parametrize(
    "architecture",
    ["NequIP", *(pytest.param(name, marks=pytest.mark.slow) for name in ("MACE", "Invariant"))],
)
def test_training_lowers_every_error_and_leaves_a_model(config, architecture, tmp_path):
    small = ModelConfig(architecture, cutoff=3.0, channels=4, layers=2, lmax=1, radial_hidden=(8,))
    state = train(replace(config, model=small), progress=False)
    first, last = state.history.rows[0], state.history.rows[-1]
    for name in ("energy_per_atom_rmse", "forces_rmse", "stress_rmse"):
        assert last[f"validation/{name}"] < first[f"validation/{name}"]
    assert state.history.reason == "60 steps done"
    header = describe(tmp_path / "run" / "model.safetensors")
    assert header["extra"]["provenance"] == provenance()
    assert header["extra"]["training"]["model"]["architecture"] == architecture
    assert header["extra"]["errors"]["validation/forces_rmse"] == min(
        state.history.values("validation/forces_rmse")
    )
    assert load(tmp_path / "run" / "model.safetensors").species == (29,)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "checkpoint.safetensors",
        "config.yaml",
        "history.csv",
        "model.safetensors",
        "tensorboard",
    }


def test_same_seed_same_weights(config, tmp_path):
    config = replace(config, optimizer=replace(config.optimizer, epochs=4))
    ends = [train(replace(config, output=str(tmp_path / name)), progress=False) for name in "ab"]
    for ours, theirs in zip(*(end.model.parameters() for end in ends), strict=True):
        assert torch.equal(ours, theirs)


def test_a_training_is_not_overwritten_and_a_finished_one_stays(config, tmp_path):
    config = replace(config, optimizer=replace(config.optimizer, epochs=4))
    train(config, progress=False)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="pass --resume to continue it, or choose another --output"):
        train(config, progress=False)
    assert train(config, resume=True, progress=False).history.reason == "12 steps done"
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_resuming_names_what_changed(config, copper, tmp_path):
    file = tmp_path / "own.xyz"
    file.write_bytes(copper.read_bytes())
    short = replace(
        config,
        data=replace(config.data, train=str(file)),
        optimizer=replace(config.optimizer, epochs=1),
    )
    train(short, progress=False)
    train(replace(short, patience=7, checkpoint_every=3), resume=True, progress=False)
    other = replace(short, seed=1, model=replace(short.model, channels=8))
    with pytest.raises(ValueError, match=r"model.channels was 4 and is 8 now, seed was 0 and is 1 now"):
        train(other, resume=True, progress=False)
    frames = ase.io.read(file, ":")
    for frame in frames:
        frame.calc.results["energy"] += 1e-3
    ase.io.write(file, frames)
    with pytest.raises(ValueError, match=r"the data files changed since it was written \(.*own.xyz\)"):
        train(short, resume=True, progress=False)
    (tmp_path / "run" / "config.yaml").unlink()
    with pytest.raises(ValueError, match="of another configuration; resume with"):
        train(other, resume=True, progress=False)


def test_a_checkpoint_without_a_newer_field_is_resumed_unless_the_field_is_set(config, tmp_path):
    config = replace(config, optimizer=replace(config.optimizer, epochs=1))
    train(config, progress=False)
    checkpoint, yaml_file = tmp_path / "run" / "checkpoint.safetensors", tmp_path / "run" / "config.yaml"
    lines = yaml_file.read_text().splitlines(keepends=True)
    yaml_file.write_text("".join(line for line in lines if "clip_norm" not in line))
    tensors, header = read_archive(checkpoint, "checkpoint")
    header["fingerprint"] = "0" * 16 + "-" + header["fingerprint"].partition("-")[2]  # another hash
    write_archive(checkpoint, "checkpoint", tensors, header)
    clipped = replace(config, optimizer=replace(config.optimizer, clip_norm=1.0))
    with pytest.raises(ValueError, match=r"optimizer.clip_norm was None and is 1.0 now"):
        train(clipped, resume=True, progress=False)
    for _ in range(2):  # then from a checkpoint of today
        assert train(config, resume=True, progress=False).step == 3
    yaml_file.write_text("".join(lines))  # has all fields: the hash of the checkpoint is of another
    write_archive(checkpoint, "checkpoint", tensors, header)
    with pytest.raises(ValueError, match="of another configuration; resume with"):
        train(config, resume=True, progress=False)


def test_a_folder_with_a_model_alone_is_not_overwritten(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_text("precious")
    with pytest.raises(FileExistsError, match="already contains a run"):
        train(config, progress=False)
    assert (tmp_path / "run" / "model.safetensors").read_text() == "precious"


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_a_folder_in_which_another_process_trains_is_refused(config, options, tmp_path, capsys):
    missing = replace(config, data=replace(config.data, train="none.xyz"))  # the data are not looked for
    write_config(missing, tmp_path / "c.yaml")
    with locked(tmp_path / "run"):
        assert main(["train", str(tmp_path / "c.yaml"), *options]) == 2
    error = capsys.readouterr().err
    assert f"run: process {os.getpid()} on " in error
    assert error.endswith("is writing there; wait until it ends, or choose another --output\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_diverged_training_is_an_error_also_when_resumed(config):
    wild = replace(config, optimizer=replace(config.optimizer, learning_rate=1e30), checkpoint_every=1)
    with pytest.raises(FloatingPointError, match="try a lower learning rate"):
        train(wild, progress=False)
    with pytest.raises(FloatingPointError, match="try a lower learning rate"):
        train(wild, resume=True, progress=False)


@pytest.mark.parametrize(
    ("weights", "name"),
    [((1.0, 1.0, 1.0), "forces"), ((1.0, 0.0, 1.0), "energy_per_atom"), ((0.0, 0.0, 1.0), "stress")],
)
def test_the_best_model_is_chosen_by_an_error_with_weight_in_the_loss(config, weights, name, tmp_path):
    short = replace(config, loss=LossConfig(*weights), optimizer=replace(config.optimizer, epochs=10))
    state = train(short, progress=False)
    found = describe(tmp_path / "run" / "model.safetensors")["extra"]["errors"]
    assert found[f"validation/{name}_rmse"] == min(state.history.values(f"validation/{name}_rmse"))


def test_the_best_model_cannot_be_chosen_by_an_error_that_is_not_measured(tmp_path):
    chooser = BestModel(tmp_path / "m.safetensors", "validation/stress_rmse", {})
    with pytest.raises(ValueError, match="validation structures have no stress"):
        chooser.after_record(None, {"validation/forces_rmse": 1.0})


def test_errors_that_are_nan_choose_no_model(config, tmp_path, monkeypatch, capsys):
    """The loss stays finite, but every validation is NaN."""
    monkeypatch.setattr(
        "symnets.potentials._training.validation_errors", lambda *_: {"forces_rmse": float("nan")}
    )
    state = train(replace(config, patience=2), progress=False, summary=True)
    assert state.history.reason == "validation/forces_rmse was NaN or infinite in 2 records"
    assert "was NaN or infinite at every validation, so no model is saved" in capsys.readouterr().err
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_best_of_some_errors_is_no_nan():
    errors = [float("nan"), 0.3, 0.2, float("nan")]
    rows = [{"step": float(k), "validation/forces_rmse": error} for k, error in enumerate(errors)]
    best, _ = after_training(History(rows), "validation/forces_rmse", Path("m.safetensors"))
    assert best == "best model   F RMSE meV/Å 200.0 at step 2"


def test_patience_and_minutes_stop_early(config):
    assert "wall time" in train(replace(config, max_minutes=1e-6), progress=False).history.reason


def test_paths_of_a_configuration_may_begin_in_the_home_folder(config, copper, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    (tmp_path / "copper.xyz").write_bytes(copper.read_bytes())
    (tmp_path / "c.yaml").write_text(
        "output: $RUNS/first\ndata: {train: ~/copper.xyz, n_train: 4, n_validation: 2}\n"
        "model: {cutoff: 3, channels: 2, layers: 1, lmax: 0, radial_hidden: [2]}\noptimizer: {epochs: 1}\n"
    )
    monkeypatch.chdir("/")
    assert main(["train", "~/c.yaml", "--threads=1"]) == 0
    assert (tmp_path / "runs" / "first" / "model.safetensors").exists()
    assert main(["train", "~/c.yaml", "--threads=1", "--resume"]) == 0


def test_every_job_of_a_queue_has_its_own_minutes(config, tmp_path, capsys):
    three_steps = replace(config, optimizer=replace(config.optimizer, epochs=1), max_minutes=1e-6)
    write_config(three_steps, tmp_path / "c.yaml")
    steps = []
    for _ in range(4):
        assert main(["train", str(tmp_path / "c.yaml"), "--resume"]) == 0
        steps.append(read_header(tmp_path / "run" / "checkpoint.safetensors", "checkpoint")["step"])
        continues = "pass --resume to the same command to continue" in capsys.readouterr().err
        assert continues == (steps[-1] < 3)
    assert steps == [1, 2, 3, 3]


def test_missing_labels_and_files_are_named(config, tmp_path):
    frames = [bulk("Cu", cubic=True)] * 3
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    ase.io.write(tmp_path / "bare.xyz", frames)
    data = replace(config.data, train=str(tmp_path / "bare.xyz"), n_train=2, n_validation=1)
    bare = replace(config, data=data)
    with pytest.raises(ValueError, match=r"bare.xyz: none of the 2 structures for training has forces"):
        train(bare, progress=False)
    with pytest.raises(FileNotFoundError, match=r"nowhere.xyz: there is no such file or folder in"):
        train(replace(config, data=replace(config.data, train="nowhere.xyz")), progress=False)


def test_molecules_among_crystals_need_no_stress(config, copper, tmp_path):
    frames = ase.io.read(copper, ":")
    for atoms in frames[:6]:
        atoms.pbc = False
        atoms.cell = None
        del atoms.calc.results["stress"]
    ase.io.write(tmp_path / "mixed.xyz", frames)
    mixed = replace(config, data=replace(config.data, train=str(tmp_path / "mixed.xyz")))
    state = train(mixed, progress=False)
    first, last = state.history.rows[0], state.history.rows[-1]
    assert last["validation/stress_rmse"] < first["validation/stress_rmse"]

    del frames[9].calc.results["stress"]
    ase.io.write(tmp_path / "mixed.xyz", frames)
    strict = replace(mixed, data=replace(mixed.data, require_all=True))
    with pytest.raises(ValueError, match=r"mixed.xyz, frame 9: no stress"):
        train(replace(strict, output=str(tmp_path / "other")), progress=False)
    ase.io.write(tmp_path / "mixed.xyz", frames[:6])
    few = replace(mixed, data=replace(mixed.data, n_train=2))
    with pytest.raises(ValueError, match="none of the 2 structures for training is periodic"):
        train(replace(few, output=str(tmp_path / "other")), progress=False)


def test_too_few_structures_are_counted(config, copper):
    for asked, message in (
        (
            {"n_train": 14},
            "has 16 structures, but the configuration asks for data.n_train = 14 and data.n_validation = 4",
        ),
        ({"n_train": None, "n_validation": 16}, "data.n_train = at least 1 and data.n_validation = 16"),
        ({"n_train": 17, "validation": str(copper)}, "asks for data.n_train = 17; ask for fewer"),
    ):
        with pytest.raises(ValueError, match=message):
            train(replace(config, data=replace(config.data, **asked)), progress=False)


def test_command_takes_options_over_the_file(config, tmp_path, capsys):
    write_config(config, tmp_path / "c.yaml")
    options = ["--optimizer.epochs", "2", "--output", str(tmp_path / "other"), "--seed", "3"]
    assert main(["train", str(tmp_path / "c.yaml"), *options, "--model.architecture", "Invariant"]) == 0
    training = describe(tmp_path / "other" / "model.safetensors")["extra"]["training"]
    assert training["optimizer"]["epochs"] == 2
    assert training["seed"] == 3
    assert training["model"] == {
        **training["model"],
        "architecture": "Invariant",
        "cutoff": 3.0,
        "channels": 64,
        "lmax": 3,
    }
    assert main(["train", str(tmp_path / "c.yaml"), *options]) == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_killed_three_times_and_resumed_ends_with_the_same_bits(config, tmp_path):
    long = replace(config, optimizer=replace(config.optimizer, epochs=80))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    write_config(long, tmp_path / "c.yaml")
    context = forks("tests.potentials.training")

    def start(output):
        process = context.Process(
            target=run_train, args=(str(tmp_path / "c.yaml"), "--output", str(output), "--resume")
        )
        process.start()
        return process

    def ended(process):
        process.join()
        return process.exitcode

    def step():
        path = cut / "checkpoint.safetensors"
        return read_header(path, "checkpoint")["step"] if path.exists() else 0

    assert ended(start(whole)) == 0
    chance, kills = random.Random(), []
    for target in sorted(chance.sample(range(20, 180), 3)):
        process = start(cut)
        while step() < target and process.is_alive():
            time.sleep(0.005)
        time.sleep(0.05 * chance.random())
        process.kill()
        assert ended(process) == -signal.SIGKILL
        kills.append(step())
    assert 20 <= kills[0] < kills[-1] < 240, "the kills came too early or too late to mean anything"
    assert ended(start(cut)) == 0
    for file, kind in (("checkpoint.safetensors", "checkpoint"), ("model.safetensors", "model")):
        ours, theirs = weights(cut / file, kind), weights(whole / file, kind)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
