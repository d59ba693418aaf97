"""Potentials trained by processes that torchrun starts: they equal one process, and a killed one ends all."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from symnets.config import write_config
from symnets.data import read_archive, read_header
from symnets.potentials import train


def start(config, *options):
    """torchrun with two processes, with its output in pipes."""
    config_file = Path(config.output).with_suffix(".yaml")
    write_config(config, config_file)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    return subprocess.Popen(
        [*command, "-m", "symnets", "train", str(config_file), *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


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

    run = start(two)
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

    run = start(killed)
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
