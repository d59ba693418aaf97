"""One of several processes runs a batch; the lock of a dead process is free at once."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from symnets.sweeps._locks import (
    BatchLock,
    is_locked,
    remove_locks,
    remove_scratch,
    running_batches,
    try_lock,
)
from tests.sweeps.processes import is_dead, lock_holder


def race(folder: Path) -> list[BatchLock]:
    """The locks that sixteen threads get on one batch at once."""
    locks, barrier = [], threading.Barrier(16)

    def run() -> None:
        barrier.wait()
        locks.append(try_lock(folder, "batch"))

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [lock for lock in locks if lock is not None]


def held(folder: Path) -> BatchLock:
    lock = try_lock(folder, "batch")
    assert lock is not None
    return lock


def test_one_of_many_gets_the_lock(tmp_path):
    for number in range(20):
        (lock,) = race(tmp_path / str(number))
        with lock:
            assert is_locked(tmp_path / str(number), "batch")


def test_one_of_many_succeeds_a_killed_holder(tmp_path):
    with lock_holder(tmp_path, "batch") as process:
        assert race(tmp_path) == []
        process.kill()
        process.wait()
    (lock,) = race(tmp_path)
    assert (lock.scratch / "half-written").is_dir()
    with lock:
        assert os.listdir(lock.scratch) == []  # what the killed holder left is gone


def test_a_zombie_holds_no_lock(tmp_path):
    with lock_holder(tmp_path, "batch") as process:
        process.kill()  # and it is not waited for
        deadline = time.monotonic() + 10
        while not is_dead(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.returncode is None
        assert not is_locked(tmp_path, "batch")


def test_a_living_holder_keeps_its_lock_and_its_files(tmp_path):
    with lock_holder(tmp_path, "batch") as process:
        process.send_signal(signal.SIGSTOP)  # alive, but silent
        assert is_locked(tmp_path, "batch")
        assert try_lock(tmp_path, "batch") is None
        assert try_lock(tmp_path, "another") is not None
        remove_scratch(tmp_path)
        remove_locks(tmp_path, ["batch"])
        assert (tmp_path / "batch" / "half-written").is_dir()
        assert (tmp_path / "batch.lock").exists()


def test_a_lock_file_without_a_holder_does_not_count(tmp_path):
    (tmp_path / "batch.lock").touch()
    assert not is_locked(tmp_path, "batch")
    assert try_lock(tmp_path, "batch") is not None


def test_an_interrupted_holder_releases_its_lock_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt), held(tmp_path):
        raise KeyboardInterrupt
    assert not is_locked(tmp_path, "batch")
    with held(tmp_path):
        assert is_locked(tmp_path, "batch")


def test_a_batch_that_is_done_leaves_nothing(tmp_path):
    with held(tmp_path) as lock:
        lock.report(0.5, "half")
        assert running_batches(tmp_path) == {"batch": (0.5, "half")}
        lock.remove()
    assert os.listdir(tmp_path) == []
    assert running_batches(tmp_path) == {}


def test_files_of_a_killed_holder_are_removed(tmp_path):
    with lock_holder(tmp_path, "batch") as process:
        process.kill()
        process.wait()
    assert running_batches(tmp_path) == {"batch": (None, "")}
    remove_scratch(tmp_path)
    assert os.listdir(tmp_path) == ["batch.lock"]
    remove_locks(tmp_path, ["batch", "never begun"])
    assert os.listdir(tmp_path) == []


def test_progress_is_reported_once_a_second_at_most(tmp_path):
    with held(tmp_path) as lock:
        assert running_batches(tmp_path) == {"batch": (None, "")}
        lock.report(0.25, "step 1")
        lock.report(0.5, "step 2")
        assert running_batches(tmp_path) == {"batch": (0.25, "step 1")}
        (lock.scratch / "progress.json").write_text("[0.5")  # cut off
        assert running_batches(tmp_path) == {"batch": (None, "")}
