"""Of those that would run a batch, one does, and it is replaced when it is dead or silent."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from symnets.sweeps import _claims as module
from symnets.sweeps._claims import Claim, at_work, claim, claimable, settle
from symnets.sweeps._store import HOST
from tests.sweeps.test_store import dead_process


def hold(folder: Path, *, host: str = HOST, pid: int | None = None, silent: float = 0.0) -> Path:
    """A claim as another process would have written it, that long ago."""
    path = folder / "batch.0"
    path.write_text(json.dumps({"host": host, "pid": os.getpid() if pid is None else pid}))
    date = time.time() - silent
    os.utime(path, (date, date))
    return path


def race(folder: Path) -> list[Claim]:
    """What sixteen threads get that claim a batch at once."""
    found, barrier = [], threading.Barrier(16)

    def run() -> None:
        barrier.wait()
        found.append(claim(folder, "batch"))

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [mine for mine in found if mine is not None]


def test_one_of_many_wins(tmp_path):
    for number in range(20):
        assert len(race(tmp_path / str(number))) == 1


def test_one_of_many_succeeds_the_dead(tmp_path):
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        hold(folder, pid=dead_process() if number == 0 else 2**22 + number)  # no pid is that large
        (mine,) = race(folder)
        assert mine.path.name == "batch.1"


def test_the_living_are_left_in_peace(tmp_path):
    hold(tmp_path, silent=50.0)
    assert claim(tmp_path, "batch") is None
    hold(tmp_path, host="other", pid=1, silent=50.0)
    assert claim(tmp_path, "batch") is None
    assert claim(tmp_path, "another batch") is not None


@pytest.mark.parametrize("host", [HOST, "other"])
def test_the_silent_are_succeeded(tmp_path, host):
    hold(tmp_path, host=host, silent=61.0)
    assert claimable(tmp_path, "batch")
    assert claim(tmp_path, "batch") is not None
    assert claim(tmp_path, "batch") is None


def test_a_claim_about_to_be_written_counts(tmp_path):
    (tmp_path / "batch.0").touch()
    assert claim(tmp_path, "batch") is None
    os.utime(tmp_path / "batch.0", (1, 1))
    assert claim(tmp_path, "batch") is not None


def test_a_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    mine = claim(tmp_path, "batch")
    assert mine is not None
    with mine:
        os.utime(mine.path, (1, 1))
        deadline = time.monotonic() + 10
        while claimable(tmp_path, "batch") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not claimable(tmp_path, "batch")
    assert claimable(tmp_path, "batch")


def test_what_is_given_up_is_free_at_once(tmp_path):
    mine = claim(tmp_path, "batch")
    assert mine is not None
    with pytest.raises(KeyboardInterrupt), mine:
        raise KeyboardInterrupt
    successor = claim(tmp_path, "batch")
    assert successor is not None
    assert successor.path.name == "batch.1"


def test_a_settled_batch_leaves_nothing(tmp_path):
    hold(tmp_path, silent=100.0)
    mine = claim(tmp_path, "batch")
    assert mine is not None
    with mine:
        mine.tell(0.5, "half")
        assert at_work(tmp_path) == {"batch": (0.5, "half")}
        settle(tmp_path, "batch")
    assert os.listdir(tmp_path) == []
    assert at_work(tmp_path) == {}


def test_who_is_at_work_is_told_with_or_without_progress(tmp_path):
    for name in ("one.0", "two.0", "two.1", "given up.0"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "given up.0", (0, 0))
    (tmp_path / "one.progress").write_text("[0.5")
    (tmp_path / "two.progress").write_text('[0.25, "step 1"]')
    (tmp_path / "three.progress").write_text('[0.25, "left by a dead one"]')
    assert at_work(tmp_path) == {"one": (None, ""), "two": (0.25, "step 1")}
