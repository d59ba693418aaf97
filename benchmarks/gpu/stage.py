"""Stage of run.sh: command line, clock, and a JSON file that is complete at any time.

A stage is a script, `python benchmarks/gpu/STAGE.py --output FILE --seconds N [--rehearse]`. It measures the
most important cases first, ends by itself before N seconds and saves after each row. This module needs only
torch.
"""

import argparse
import gc
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("symnets", "torch", "triton", "e3nn", "torch-geometric", "numpy", "numba", "ase", "vesin")
PACKAGES += ("cuequivariance-torch", "cuequivariance-ops-torch-cu13", "cuequivariance-ops-torch-cu12")


class Stage:
    """Command line, result document and clock of a stage.

        stage = Stage(__doc__)
        for n_atoms in (64, 512):
            if stage.has_time_for({"n_atoms": n_atoms}, seconds=10):
                stage.measure({"n_atoms": n_atoms}, lambda: {"ms": ...})
        stage.finish()

    Args:
        question: what the stage measures; the first field of the document.
        arguments: the command line, `sys.argv[1:]` if not given.

    Attributes:
        rehearse: whether the script is only tested, with small sizes on the CPU.
        device: "cuda", or "cpu" in a rehearsal.
        document: the saved JSON document; `rows` holds the measurements, a stage may add other fields.
    """

    def __init__(self, question: str | None, arguments: list[str] | None = None) -> None:
        parser = argparse.ArgumentParser(
            description=question, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
        parser.add_argument("--seconds", type=float, required=True, help="end before so many seconds")
        parser.add_argument("--rehearse", action="store_true", help="small sizes, on the CPU")
        options = parser.parse_args(arguments)
        self.output, self.seconds, self.rehearse = options.output, options.seconds, options.rehearse
        self.device = torch.device("cpu" if self.rehearse else "cuda")
        self._start = time.monotonic() - _age_of_process()  # includes the time of imports
        self.rows: list[dict[str, Any]] = []
        self.document: dict[str, Any] = {
            "question": question,
            "rehearsal": self.rehearse,
            "seconds_allowed": self.seconds,
            "environment": environment(self.device),
            "rows": self.rows,
        }
        self.save()

    @property
    def seconds_left(self) -> float:
        """Seconds until the time limit of the stage."""
        return self.seconds - (time.monotonic() - self._start)

    def save(self) -> None:
        """Write the document under a temporary name, then rename it."""
        self.document["seconds_taken"] = round(time.monotonic() - self._start, 1)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.output.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.document, indent=1) + "\n", "utf-8")
        os.replace(temporary, self.output)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row, save the document and print the row."""
        self.rows.append(row)
        self.save()
        print(json.dumps({k: v for k, v in row.items() if k != "traceback"}), flush=True)

    def has_time_for(self, case: dict[str, Any], *, seconds: float) -> bool:
        """Whether enough seconds are left; if not, add a row that says that the case was skipped."""
        if self.seconds_left >= seconds:
            return True
        self.add(case | {"skipped": f"{self.seconds_left:.0f} s left"})
        return False

    def measure(
        self, case: dict[str, Any], function: Callable[[], dict[str, Any]], *, may_fail: bool = False
    ) -> dict[str, Any] | None:
        """Append a row with the case and the function's result, or with the error if it failed.

        Running out of memory is a result, and so is the failure of a case that `may_fail`. After any other
        error the stage continues and exits with 1 at its end.

        Returns:
            the function's result; None if it failed.
        """
        message = None
        try:
            result = function()
        except torch.OutOfMemoryError as error:
            message = {"out_of_memory": _first_line(error)}
        except Exception as error:  # any error: there may be no second attempt on that machine
            where = traceback.format_exc().splitlines()[-8:]
            message = {"refused" if may_fail else "failed": _first_line(error), "traceback": where}
        else:
            self.add(case | result)
            return result
        self.add(case | message)
        gc.collect()  # outside the handler, where the traceback no longer refers to tensors
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def finish(self) -> None:
        """Save and exit: with 1 if a row failed, or the stage has a field `failed`."""
        self.document["finished"] = True
        self.save()
        sys.exit(int(any("failed" in part for part in (self.document, *self.rows))))


def environment(device: torch.device, packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Versions of packages, number of processor cores, name and memory of the GPU."""
    description: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    description["cpu_cores"] = os.cpu_count()
    for name in packages:
        try:
            description[name] = version(name)
        except PackageNotFoundError:
            continue
    description["torch"] = torch.__version__  # with the build's suffix
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        description |= {
            "gpu": properties.name,
            "gpu_memory_gb": round(properties.total_memory / 1e9, 1),
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "tf32_products": torch.backends.cuda.matmul.allow_tf32,
        }
    return description


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak memory of tensors on a GPU since `reset_peak_memory`, in MB of 10⁶ bytes; None on the CPU."""
    return round(torch.cuda.max_memory_allocated(device) / 1e6, 1) if device.type == "cuda" else None


def reset_peak_memory(device: torch.device) -> None:
    """Free the cache and reset the peak of the memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _age_of_process() -> float:
    """Seconds since this process was started (Linux)."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    return up - int(ticks) / os.sysconf("SC_CLK_TCK")


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:500]
