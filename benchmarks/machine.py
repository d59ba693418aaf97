"""What benchmarks ran on."""

import os
import platform
from pathlib import Path

import psutil


def machine() -> dict:
    """Processor, cores, memory, system, and the load at the start."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cpu": models[0],
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_at_start": [round(load, 2) for load in os.getloadavg()],
    }
