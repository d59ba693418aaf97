"""The live view shows what is done, what runs and what failed."""

import io

import pytest
from rich.console import Console

from symnets.sweeps import Serial, batches, grid, sweep
from symnets.sweeps import _live_view as module
from symnets.sweeps._live_view import LiveView, hours_minutes_seconds
from symnets.sweeps._locks import LOCKS
from tests.sweeps import toy_faults, toy_noise

CONFIGS = grid(toy_noise.Config, length=(4, 16), seed=range(5), pause=0.0)


@pytest.fixture
def half(tmp_path):
    """A sweep of two batches: one is done, the other one runs."""
    sweep(toy_noise, CONFIGS[:5], tmp_path, executor=Serial(), progress=False)
    todo = batches(toy_noise, CONFIGS)
    scratch = tmp_path / LOCKS / todo[1].id
    scratch.mkdir()
    (scratch / "progress.json").write_text('[0.4, "member 2"]')
    return tmp_path, todo


def text_of(view: LiveView) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(view.render())
    return console.export_text()


def test_done_running_left_and_the_last_rows(half):
    view = LiveView("toy", *half, visible=False)
    text = text_of(view)
    for expected in ("5 done", "5 running", "0 failed", "5 left", "5 runs at 40%  member 2", "mean", "SAT"):
        assert expected in text, expected
    assert "length" not in text  # the same in all rows shown
    assert not view.complete
    assert view.summary() == "toy: 5 of 10 runs done, time left unknown"


def test_time_left_follows_from_the_runs_done_meanwhile(half, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    directory, todo = half
    view = LiveView("toy", directory, todo, visible=False)
    monkeypatch.setattr(toy_noise, "MAX_BATCH", 2)
    sweep(toy_noise, CONFIGS[5:9], directory, executor=Serial(), progress=False)
    now = 340.0
    view.refresh()
    assert view.summary() == "toy: 9 of 10 runs done, 1:00 left"  # four took four minutes


def test_failures_are_counted(tmp_path):
    configs = grid(toy_faults.Config, fault=("none", "raise"))
    sweep(toy_faults, configs, tmp_path, executor=Serial(), progress=False)
    view = LiveView("toy", tmp_path, batches(toy_faults, configs), visible=False)
    assert view.summary() == "toy: 2 of 2 runs done, 1 of them failed"
    assert "1 failed" in text_of(view)
    assert "ERROR" in text_of(view)


@pytest.mark.parametrize("terminal", [True, False])
def test_terminals_get_a_table_and_files_get_lines(half, terminal, monkeypatch):
    monkeypatch.setattr(module, "SUMMARY_EVERY", 0.0)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160)
    with LiveView("toy", *half, console=console) as view:
        view.refresh()
    text = out.getvalue()
    assert ("5 running" in text) is terminal
    assert ("\x1b[" in text) is terminal
    assert text.rstrip().endswith("toy: 5 of 10 runs done, time left unknown")


def test_durations_are_written_as_hours_minutes_and_seconds():
    texts = [hours_minutes_seconds(seconds) for seconds in (0.4, 59.6, 61, 3600, 36061)]
    assert texts == ["0:00", "1:00", "1:01", "1:00:00", "10:01:01"]
