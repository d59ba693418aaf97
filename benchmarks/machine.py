"""Description of the machine on which benchmarks run."""

import os
import platform
from pathlib import Path

import psutil


def machine() -> dict:
    """Processor, its widest vector instructions, cores, memory, system, and the load at the start (Linux)."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    known = {name.strip(): value.split() for name, _, value in reversed(lines)}
    return {
        "cpu": " ".join(known["model name"]),
        "vectors": next((v for v in ("avx512f", "avx2", "sse2") if v in known.get("flags", [])), "?"),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
    }
