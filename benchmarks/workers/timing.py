"""Time and memory for workers, also in other environments.

It needs only the standard library, lazy_loader and `symnets.memory`, which is found by PYTHONPATH.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from symnets.memory import keep_memory


def memory_bytes(field: Literal["VmHWM", "VmRSS"]) -> int:
    """Peak (VmHWM) or present (VmRSS) resident memory of this process, from the kernel (Linux).

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def reset_peak() -> None:
    """Set the peak resident memory of this process to the present one (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak resident memory of this process, in MB of 2^20 bytes."""
    return memory_bytes("VmHWM") / 2**20


def measure(function: Callable[[], object], seconds: float) -> dict[str, float]:
    """Time and memory of a call.

    Returns:
        `ms`: median of at least three calls that take about `seconds` in total, after three calls to warm up;
        `first_call_s`; `peak_mb` of the process; `growth_mb`: growth of the peak since just before the first
        call; `above_start_mb`: the peak since then minus the memory resident at that time. The last two
        differ if building the model took more memory than running it.
    """
    keep_memory()  # in all programs
    before = peak_mb()
    reset_peak()
    start = peak_mb()
    first = once(function)
    if first < seconds:
        once(function)
        once(function)
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(once(function))
    since = peak_mb()
    peak = max(before, since)
    return {
        "ms": 1000 * statistics.median(times),
        "first_call_s": first,
        "peak_mb": peak,
        "growth_mb": peak - before,
        "above_start_mb": since - start,
    }


def once(function: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
