"""Does symnets compute the same on this GPU as on the CPU (tests/cuda), and how fast is the GPU?

First the rates that bound all other results: a copy within the GPU's memory (bytes read and written), and
products of 8192 x 8192 matrices in float32, in TF32 and in bfloat16. Then `pytest -m cuda` in several
processes. Outcomes are saved as they come: counts in `tests`, and a row with the message of each test that
failed or was skipped. Warnings are not errors here, because packages may be newer than those of the project.
A rehearsal runs a few tests on the CPU.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import Stage

ROOT = Path(__file__).parents[2]
REHEARSED = ["tests/cuda/test_models.py", "-k", "Invariant"]
"""Tests that run on the CPU in a rehearsal: those of the fastest model."""
MESSAGE = 3000
"""Number of characters kept of a failure's message, from its end."""


def rates(device: torch.device) -> dict[str, float]:
    """Rates of memory copies (TB/s) and matrix products (TFLOP/s), medians of ten calls."""
    matrices = torch.randn(2, 8192, 8192, device=device)
    source, target = torch.empty(2, 2**31, dtype=torch.uint8, device=device)
    flops = 2 * 8192**3
    measured = {"copy_tb_s": 2 * 2**31 / _seconds(lambda: target.copy_(source)) / 1e12}
    for name, tf32, dtype in (
        ("float32", False, torch.float32),
        ("tf32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = matrices.to(dtype)
        measured[f"{name}_tflop_s"] = flops / _seconds(lambda a=a, b=b: a @ b) / 1e12
    torch.backends.cuda.matmul.allow_tf32 = False
    return {name: round(value, 2) for name, value in measured.items()}


def _seconds(function: Any) -> float:
    times = []
    for _ in range(13):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        function()
        after.record()
        after.synchronize()
        times.append(before.elapsed_time(after) / 1000)
    return statistics.median(times[3:])


class Recorder:
    """Pytest plugin that saves outcomes as they come, and starts no test after `until`, a monotonic time."""

    def __init__(self, stage: Stage, until: float) -> None:
        self.stage, self.until = stage, until
        self.sessions: list[Any] = []
        self.counts = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
        self.seconds: dict[str, float] = {}
        stage.document["tests"] = self.counts

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep the session and that of pytest-xdist, to stop them later."""
        self.sessions = [session, session.config.pluginmanager.getplugin("dsession")]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the outcome of a test's call, or of its setup if it was skipped or failed there."""
        if time.monotonic() > self.until:
            for session in filter(None, self.sessions):
                session.shouldstop = "out of time"
        name = report.nodeid
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.when != "call" and report.outcome == "passed":
            return
        outcome = report.outcome if report.when == "call" or report.skipped else "error"
        self.counts[outcome] += 1
        if outcome == "passed":
            self.stage.save()
            return
        text = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
        row = {"test": name, "outcome": outcome, "seconds": round(self.seconds[name], 2)}
        self.stage.add(row | {"message": text[-MESSAGE:]})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Save the error of a file that cannot be imported."""
        if report.failed:
            self.counts["error"] += 1
            row = {"test": report.nodeid, "outcome": "error", "message": report.longreprtext[-MESSAGE:]}
            self.stage.add(row)


def main() -> None:
    """Measure the rates, then run the tests until they are done or the time is over."""
    stage = Stage(__doc__)
    if stage.rehearse:
        os.environ["SYMNETS_TEST_DEVICE"] = "cpu"
    else:
        stage.measure({"part": "rates"}, lambda: rates(stage.device))
        torch.cuda.empty_cache()
    os.chdir(ROOT)
    processes = min(8, os.cpu_count() or 1) if not stage.rehearse else 0
    options = ["-m", "cuda and not slow", "-n", str(processes), "--dist", "load", "--tb", "short", "-q"]
    options += ["-p", "no:cacheprovider", "-o", "addopts=--strict-markers", "--durations", "10"]
    options += ["--maxfail", "1"] if stage.rehearse else ["-W", "default"]
    end = 16 if processes else 6  # for the processes to stop
    recorder = Recorder(stage, time.monotonic() + stage.seconds_left - end)
    tests = REHEARSED if stage.rehearse else ["tests/cuda"]
    code = pytest.main([*options, *tests], plugins=[recorder])
    stage.document["pytest_exit_code"] = int(code)
    slowest = sorted(recorder.seconds.items(), key=lambda item: -item[1])[:10]
    stage.document["slowest_s"] = {name: round(seconds, 2) for name, seconds in slowest}
    stage.document["ended_by_time"] = code == pytest.ExitCode.INTERRUPTED
    expected = code in (pytest.ExitCode.OK, pytest.ExitCode.INTERRUPTED)
    counts = recorder.counts
    if not expected or counts["failed"] or counts["error"] or not counts["passed"]:
        stage.document["failed"] = f"pytest ended with {code!r}, {counts['passed']} tests passed"
    stage.finish()


if __name__ == "__main__":
    main()
