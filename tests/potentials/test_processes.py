"""Potentials trained by processes that torchrun starts: they equal one process, and a killed one ends all."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from symnets.cli import main
from symnets.config import read_config, write_config
from symnets.data import read_archive, read_header
from symnets.potentials import TrainConfig, train


def start(*command):
    """torchrun with two processes of a command of symnets, with its output in pipes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    return subprocess.Popen(
        [*torchrun, "-m", "symnets", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def start_training(config):
    """torchrun with two processes of a training."""
    config_file = Path(config.output).with_suffix(".yaml")
    write_config(config, config_file)
    return start("train", config_file)


def tensors(folder, name="checkpoint"):
    found, _ = read_archive(Path(folder) / f"{name}.safetensors", name)
    return {key: value for key, value in found.items() if not key.startswith("generator/")}


def assert_same(one, other):
    """Equal up to sums of gradients in another order, over sixty steps."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            other[name], value, rtol=1e-9, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes in /proc")
def test_two_processes_equal_one_and_one_goes_on_where_two_were_killed(config, tmp_path):
    config = replace(
        config,
        data=replace(
            config.data, n_train=11, n_validation=5
        ),  # batches of 4, 4 and 3; parts of 2 and 2, 1 and 2
        optimizer=replace(config.optimizer, clip_norm=10.0),
        dtype="float64",
    )
    one, two, killed = (replace(config, output=str(tmp_path / name)) for name in ("one", "two", "killed"))
    history = train(one, progress=False).history

    run = start_training(two)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert (
        errors.count("stopped at step 60: 60 steps done") == errors.count("structures   11 to train on") == 1
    )
    assert_same(tensors(one.output), tensors(two.output))
    assert_same(tensors(one.output, "model"), tensors(two.output, "model"))
    assert {path.name for path in Path(two.output).iterdir()} == {
        path.name for path in Path(one.output).iterdir()
    }
    rows = read_header(Path(two.output) / "checkpoint.safetensors", "checkpoint")["history"]
    for row, expected in zip(rows, history.rows, strict=True):
        expected = {name: value for name, value in expected.items() if name != "seconds"}
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-8)

    run = start_training(killed)
    checkpoint = Path(killed.output) / "checkpoint.safetensors"
    limit = time.monotonic() + 300
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    children = [
        int(pid)
        for task in Path(f"/proc/{run.pid}/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
    ranks = {
        entry.partition("=")[2]: pid
        for pid in children
        for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")
        if entry.startswith("RANK=")
    }
    os.kill(ranks["1"], signal.SIGKILL)
    _, errors = run.communicate(timeout=300)
    assert run.returncode != 0
    assert "process 0 of 2: another process of this training ended" in errors
    assert not (Path(killed.output) / ".lock").exists()
    assert 7 <= read_header(checkpoint, "checkpoint")["step"] < 60
    assert train(killed, resume=True, progress=False).history.reason == "60 steps done"
    assert_same(tensors(one.output), tensors(killed.output))


@pytest.mark.slow
def test_a_finetuning_by_two_processes_equals_that_by_one_and_goes_on_where_one_was_stopped(
    foundation, copper, tmp_path
):
    def options(name):
        return [
            *("finetune", str(foundation), str(copper), "--output", str(tmp_path / name), "--epochs", "4"),
            *("--replay", "generated", "--n-replay", "5", "--n-replay-test", "3", "--heads"),
            *("--replay-ratio", "0.4", "--batch-size", "4", "--dtype", "float64", "--threads", "1"),
        ]

    assert main(options("one")) == 0  # 15 structures and 6 replayed ones in batches of 4, 4, 4, 4, 4 and 1
    run = start(*options("two"))
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert errors.count("stopped at step 24: 24 steps done") == errors.count("before and after") == 1
    one, two = tmp_path / "one", tmp_path / "two"
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert (two / "replay.xyz").read_bytes() == (one / "replay.xyz").read_bytes()
    for name in ("checkpoint", "model"):
        assert_same(tensors(one, name), tensors(two, name))
    ours, theirs = (json.loads((place / "finetune.json").read_text("utf-8")) for place in (one, two))
    for part in ("validation", "replay_test"):
        after, expected = theirs[part]["fine-tuned"], ours[part]["fine-tuned"]
        assert after["forces"]["rmse"] == pytest.approx(expected["forces"]["rmse"], rel=1e-8)

    config = read_config(TrainConfig, one / "config.yaml")
    config = replace(config, output=str(tmp_path / "begun"))
    assert train(replace(config, max_minutes=1e-9), progress=False).step == 1
    write_config(config, tmp_path / "begun" / "config.yaml")
    run = start(*options("begun"), "--resume")
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert_same(tensors(one), tensors(tmp_path / "begun"))


@pytest.mark.slow
def test_two_processes_choose_the_same_number_of_epochs(foundation, copper, tmp_path):
    place = tmp_path / "timed"
    run = start("finetune", foundation, copper, "--output", place, "--minutes", "0.2", "--n-replay-test", "2")
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert errors.count("timing a few steps") == errors.count("before and after") == 1
    assert errors.count("stopped at step") == 1  # with different numbers one would wait for the other
    run = start("finetune", foundation, copper, "--output", place)
    _, errors = run.communicate(timeout=300)
    assert run.returncode != 0
    assert errors.count("already contains a run") == 1
