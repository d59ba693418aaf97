"""A run on disk is whole or absent, and an altered one is refused."""

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from symnets.sweeps import Result, read_run, run_hashes
from symnets.sweeps import _store as store
from symnets.sweeps._batches import run_hash, scalars
from symnets.sweeps._store import (
    Run,
    failed_run,
    finished_run,
    read_arrays,
    remove_leftovers,
    remove_runs,
    write_run,
)


@dataclass(frozen=True)
class Config:
    width: int = 3
    margin: float = 1
    rule: str | None = None
    seed: int = 0


def a_run(**row: float) -> Run:
    return finished_run("toy", scalars(Config()), Result({"loss": 0.5, "verdict": "SAT", **row}), 1.5)


def test_what_is_written_is_read(tmp_path):
    result = Result(
        {"loss": np.float32(0.25), "gap": -float("inf"), "n": np.int64(7), "verdict": "UNSAT"},
        {"spectrum": np.arange(3.0), "empty": np.zeros((0, 2), dtype=np.int8)},
    )
    run = finished_run("toy", scalars(Config(seed=4)), result, 1.5)
    write_run(tmp_path, run, result.arrays)
    assert run_hashes(tmp_path) == {run.hash}
    assert read_run(tmp_path / run.hash) == run
    assert (run.row["n"], run.row["gap"], run.verdict, run.seed) == (7, -float("inf"), "UNSAT", 4)
    arrays = read_arrays(tmp_path / run.hash)
    assert set(arrays) == {"spectrum", "empty"}
    assert np.array_equal(arrays["spectrum"], [0.0, 1.0, 2.0])
    assert arrays["empty"].shape == (0, 2)


def test_a_loss_of_nan_is_kept(tmp_path):
    run = a_run(loss=float("nan"))
    write_run(tmp_path, run)
    assert np.isnan(read_run(tmp_path / run.hash).row["loss"])


def test_the_hash_is_that_of_the_experiment_and_its_values():
    values = {"width": 3, "margin": 1.0, "rule": None, "seed": 0}
    text = json.dumps({"experiment": "toy", **values}, sort_keys=True)
    assert a_run().hash == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert run_hash("toy", scalars(Config(margin=1))) == run_hash("toy", scalars(Config(margin=1.0)))
    assert run_hash("toy", scalars(Config(width=np.int64(3)))) == a_run().hash
    assert run_hash("toy", scalars(Config(width=4))) != a_run().hash
    assert run_hash("boy", scalars(Config())) != a_run().hash


@pytest.mark.parametrize("value", [float("nan"), (1, 2), np.zeros(2)])
def test_a_configuration_of_other_than_scalars_is_refused(value):
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
def test_a_result_that_a_table_cannot_hold_is_refused(result):
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


def test_runs_are_written_in_the_scratch_folder(tmp_path, monkeypatch):
    """So that what a killed process leaves lies where its successor removes it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(store.np, "savez", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(store.shutil, "rmtree", lambda *_, **__: None)  # as if it were killed
    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path, a_run(), scratch=scratch)
    assert os.listdir(tmp_path) == ["scratch"]
    (half,) = scratch.iterdir()
    assert (half / "row.json").exists()
    monkeypatch.undo()
    write_run(tmp_path, a_run(), scratch=scratch)
    assert run_hashes(tmp_path) == {a_run().hash}


def test_a_removal_that_was_killed_is_finished(tmp_path, monkeypatch):
    write_run(tmp_path, a_run())
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(store.shutil, "rmtree", lambda *_, **__: None)  # as if it were killed
    remove_runs(tmp_path, [a_run().hash, "0" * 16])
    assert run_hashes(tmp_path) == set()
    assert len(os.listdir(tmp_path)) == 2
    monkeypatch.undo()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == [".git"]


def test_other_files_in_the_directory_are_ignored(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "figure.png").touch()
    for hidden in (".DS_Store", f"._{'0' * 16}", "Thumbs.db"):
        (tmp_path / hidden).touch()
    (tmp_path / ("0" * 16)).touch()
    write_run(tmp_path, a_run())
    assert run_hashes(tmp_path) == {a_run().hash}


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


def test_pickles_are_never_loaded(tmp_path):
    write_run(tmp_path, a_run())
    path = tmp_path / a_run().hash
    np.savez(path / "arrays.npz", trap=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(path)


def test_a_failed_run_has_its_error(tmp_path):
    run = failed_run("toy", scalars(Config()), "MemoryError: no room", 2.0)
    write_run(tmp_path, run)
    held = read_run(tmp_path / run.hash)
    assert (held.verdict, held.error) == ("ERROR", "MemoryError: no room")
    assert read_arrays(tmp_path / run.hash) == {}
    assert replace(held, error=None) != held
