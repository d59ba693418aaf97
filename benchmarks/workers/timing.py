"""Shared by the workers, which run in environments of their own: standard library and torch only."""

import resource
import statistics
import time
from collections.abc import Callable


def measure(function: Callable[[], object], seconds: float) -> dict[str, float]:
    """Median time of a call in ms, after three to warm up, and the peak memory of the process in MB."""
    for _ in range(3):
        function()
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": 1000 * statistics.median(times), "peak_mb": peak}
