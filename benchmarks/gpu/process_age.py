"""How long this process has been running, imports included."""

import os
import time
from pathlib import Path


def process_age() -> float:
    """Seconds since this process was started; of it `run.sh` counts the time limit. Linux only."""
    ticks = float(Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
