"""Who watches a sweep sees what is done, what runs and what failed."""

import io
import json

import pytest
from rich.console import Console

from symnets.sweeps import Serial, batches, grid, sweep
from symnets.sweeps import _live_view as module
from symnets.sweeps._live_view import Watch, clock
from symnets.sweeps._store import HOST
from symnets.sweeps._worker import CLAIMS
from tests.sweeps import toy_faults, toy_noise

CONFIGS = grid(toy_noise.Config, length=(4, 16), seed=range(5), pause=0.0)


@pytest.fixture
def half(tmp_path):
    """A sweep of which one batch of two is done and the other one runs."""
    sweep(toy_noise, CONFIGS[:5], tmp_path, executor=Serial(), progress=False)
    todo = batches(toy_noise, CONFIGS)
    claim = tmp_path / CLAIMS / f"{todo[1].id}.0"
    claim.write_text(json.dumps({"host": HOST, "pid": 1}))
    claim.with_suffix(".progress").write_text('[0.4, "member 2"]')
    return tmp_path, todo


def shown(watch: Watch) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(watch.show())
    return console.export_text()


def test_done_running_left_and_the_last_rows(half):
    watch = Watch("toy", *half, shown=False)
    text = shown(watch)
    for expected in ("5 done", "5 running", "0 failed", "5 left", "5 runs at 40%  member 2", "mean", "SAT"):
        assert expected in text, expected
    assert "length" not in text  # the same in all rows shown
    assert not watch.complete
    assert watch.line() == "toy: 5 of 10 runs done, time to go unknown"


def test_time_to_go_follows_from_what_was_done_since(half, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    directory, todo = half
    watch = Watch("toy", directory, todo, shown=False)
    (directory / CLAIMS / f"{todo[1].id}.0").unlink()
    monkeypatch.setattr(toy_noise, "MAX_BATCH", 2)
    sweep(toy_noise, CONFIGS[5:9], directory, executor=Serial(), progress=False)
    now = 340.0
    watch.look()
    assert watch.line() == "toy: 9 of 10 runs done, 1:00 to go"  # four took four minutes


def test_failures_are_counted(tmp_path):
    configs = grid(toy_faults.Config, fault=("none", "raise"))
    sweep(toy_faults, configs, tmp_path, executor=Serial(), progress=False)
    watch = Watch("toy", tmp_path, batches(toy_faults, configs), shown=False)
    assert watch.line() == "toy: 2 of 2 runs done, 1 of them failed"
    assert "1 failed" in shown(watch)
    assert "ERROR" in shown(watch)


@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_drawn_on_terminals_and_told_elsewhere(half, terminal, monkeypatch):
    monkeypatch.setattr(module, "LINE_EVERY", 0.0)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160)
    with Watch("toy", *half, console=console) as watch:
        watch.look()
    text = out.getvalue()
    assert ("5 running" in text) is terminal
    assert ("\x1b[" in text) is terminal
    assert text.rstrip().endswith("toy: 5 of 10 runs done, time to go unknown")


def test_clocks_read_as_clocks_do():
    assert [clock(s) for s in (0.4, 59.6, 61, 3600, 36061)] == ["0:00", "1:00", "1:01", "1:00:00", "10:01:01"]
