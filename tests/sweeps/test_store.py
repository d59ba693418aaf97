"""A run on disk is whole or absent, and tells when somebody altered it."""

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from symnets.sweeps import Result, present, read_run
from symnets.sweeps import _store as store
from symnets.sweeps._batches import run_hash, scalars
from symnets.sweeps._store import HOST, Run, clean, failed_run, finished_run, is_dead, read_arrays, write_run


@dataclass(frozen=True)
class Config:
    width: int = 3
    margin: float = 1
    rule: str | None = None
    seed: int = 0


def a_run(**row: float) -> Run:
    return finished_run("toy", scalars(Config()), Result({"loss": 0.5, "verdict": "SAT", **row}), 1.5)


def dead_process() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_is_written_is_read(tmp_path):
    result = Result(
        {"loss": np.float32(0.25), "gap": -float("inf"), "n": np.int64(7), "verdict": "UNSAT"},
        {"spectrum": np.arange(3.0), "empty": np.zeros((0, 2), dtype=np.int8)},
    )
    run = finished_run("toy", scalars(Config(seed=4)), result, 1.5)
    write_run(tmp_path, run, result.arrays)
    assert present(tmp_path) == {run.hash}
    assert read_run(tmp_path / run.hash) == run
    assert (run.row["n"], run.row["gap"], run.verdict, run.seed) == (7, -float("inf"), "UNSAT", 4)
    arrays = read_arrays(tmp_path / run.hash)
    assert set(arrays) == {"spectrum", "empty"}
    assert np.array_equal(arrays["spectrum"], [0.0, 1.0, 2.0])
    assert arrays["empty"].shape == (0, 2)


def test_a_loss_that_is_not_a_number_is_kept(tmp_path):
    run = a_run(loss=float("nan"))
    write_run(tmp_path, run)
    assert np.isnan(read_run(tmp_path / run.hash).row["loss"])


def test_the_hash_is_that_of_name_and_values():
    values = {"width": 3, "margin": 1.0, "rule": None, "seed": 0}
    text = json.dumps({"experiment": "toy", **values}, sort_keys=True)
    assert a_run().hash == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert run_hash("toy", scalars(Config(margin=1))) == run_hash("toy", scalars(Config(margin=1.0)))
    assert run_hash("toy", scalars(Config(width=np.int64(3)))) == a_run().hash
    assert run_hash("toy", scalars(Config(width=4))) != a_run().hash
    assert run_hash("boy", scalars(Config())) != a_run().hash


@pytest.mark.parametrize("value", [float("nan"), (1, 2), np.zeros(2)])
def test_what_is_no_scalar_is_no_configuration(value):
    with pytest.raises(ValueError, match=r"Config\.margin: expected"):
        scalars(Config(margin=value))


@pytest.mark.parametrize(
    "result",
    [
        Result({"loss": np.zeros(2)}),  # pyright: ignore[reportArgumentType]
        Result({"width": 4}),
        Result({"seconds": 1.0}),
        Result({}, {"file": np.zeros(2)}),
        Result({}, {"a/b": np.zeros(2)}),
        Result({}, {"objects": np.array([None])}),
    ],
)
def test_what_a_table_cannot_hold_is_refused(result):
    with pytest.raises(ValueError, match=r"(row|arrays)\['"):
        finished_run("toy", scalars(Config()), result, 0.0)


def test_the_first_of_two_writers_wins(tmp_path):
    write_run(tmp_path, a_run(loss=1.0))
    write_run(tmp_path, a_run(loss=2.0))
    assert read_run(tmp_path / a_run().hash).row["loss"] == 1.0
    assert os.listdir(tmp_path) == [a_run().hash]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store.np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_run(tmp_path, a_run())
    assert os.listdir(tmp_path) == []


def test_temporary_directories_of_the_dead_are_removed(tmp_path):
    def temporary(host: str, pid: int, number: int) -> Path:
        path = tmp_path / f".{a_run().hash}.{host}.{pid}.{number:032x}"
        path.mkdir()
        (path / "row.json").write_text("{")
        return path

    dead, alive = temporary(HOST, dead_process(), 1), temporary(HOST, os.getpid(), 2)
    elsewhere, long_ago = temporary("other", 1, 3), temporary("other", 1, 4)
    os.utime(long_ago, (1, 1))
    (tmp_path / ".git").mkdir()
    clean(tmp_path)
    assert alive.exists()
    assert elsewhere.exists()
    assert not dead.exists()
    assert not long_ago.exists()
    assert (tmp_path / ".git").exists()
    assert present(tmp_path) == set()


def test_a_zombie_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:  # it ends, and nobody waits for it
        deadline = time.monotonic() + 10
        while not is_dead(HOST, process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_dead(HOST, process.pid)


def test_other_machines_are_not_judged():
    pid = dead_process()
    assert is_dead(HOST, pid)
    assert not is_dead("other", pid)


def test_foreign_directories_are_of_no_concern(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "figure.png").touch()
    (tmp_path / ("0" * 16)).touch()
    write_run(tmp_path, a_run())
    assert present(tmp_path) == {a_run().hash}


def cut(path: Path) -> None:
    (path / "row.json").write_text((path / "row.json").read_text()[:-20])


def empty(path: Path) -> None:
    (path / "row.json").write_text("{}")


def number(path: Path) -> None:
    (path / "row.json").write_text("7")


def remove(path: Path) -> None:
    (path / "config.json").unlink()


def other_config(path: Path) -> None:
    (path / "config.json").write_text('{"experiment": "toy", "width": 4}')


def other_seed(path: Path) -> None:
    for name in ("config.json", "row.json"):
        (path / name).write_text((path / name).read_text().replace('"seed": 0', '"seed": 1'))


@pytest.mark.parametrize("harm", [cut, empty, number, remove, other_config, other_seed])
def test_a_damaged_run_is_refused_by_name(tmp_path, harm):
    write_run(tmp_path, a_run())
    path = tmp_path / a_run().hash
    harm(path)
    with pytest.raises(ValueError, match=f"{path}.*delete it"):
        read_run(path)


def test_damaged_arrays_are_refused_by_name(tmp_path):
    write_run(tmp_path, a_run(), {"spectrum": np.arange(100.0)})
    path = tmp_path / a_run().hash
    (path / "arrays.npz").write_bytes((path / "arrays.npz").read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"{path}: arrays\.npz"):
        read_arrays(path)


def test_pickles_are_never_opened(tmp_path):
    write_run(tmp_path, a_run())
    path = tmp_path / a_run().hash
    np.savez(path / "arrays.npz", trap=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(path)


def test_a_failed_run_says_why(tmp_path):
    run = failed_run("toy", scalars(Config()), "MemoryError: no room", 2.0)
    write_run(tmp_path, run)
    held = read_run(tmp_path / run.hash)
    assert (held.verdict, held.error) == ("ERROR", "MemoryError: no room")
    assert read_arrays(tmp_path / run.hash) == {}
    assert replace(held, error=None) != held
