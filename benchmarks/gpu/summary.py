"""Merge the stages' JSON files to gpu.json and print a short table; run by run.sh.

    python benchmarks/gpu/summary.py OUT STAGE=STATUS:SECONDS ... --setup SECONDS --seconds SECONDS

Exits with 1 if a stage failed. Standard library only.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

STOPPED = {124: "stopped by its time limit", 137: "killed"}


def main() -> None:
    """Merge the files and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the stages' files")
    parser.add_argument("--setup", type=float, required=True, help="seconds before the first stage")
    parser.add_argument("--seconds", type=float, required=True, help="seconds until now")
    parser.add_argument("stages", nargs="*", help="STAGE=STATUS:SECONDS")
    options = parser.parse_args()
    merged: dict[str, Any] = {"setup_s": options.setup, "seconds": options.seconds, "stages": {}}
    for stage in options.stages:
        name, _, ended = stage.partition("=")
        status, _, seconds = ended.partition(":")
        merged["stages"][name] = ending(status, float(seconds)) | read(options.folder / f"{name}.json")
    first = next((found for found in merged["stages"].values() if "environment" in found), {})
    merged = {"rehearsal": first.get("rehearsal"), "environment": first.get("environment")} | merged
    temporary = options.folder / "gpu.tmp"
    temporary.write_text(json.dumps(merged, indent=1) + "\n", "utf-8")
    os.replace(temporary, options.folder / "gpu.json")
    print(f"\n{'stage':<14} {'ended':<28} {'s':>5} {'rows':>5} {'failed':>6} {'refused':>7} {'skipped':>7}")
    for name, found in merged["stages"].items():
        counts = [
            sum(key in row for row in found.get("rows", [])) for key in ("failed", "refused", "skipped")
        ]
        numbers = [found["wall_s"], len(found.get("rows", [])), *counts]
        print(
            f"{name:<14} {found['ended']:<28}",
            *(f"{n:>{w}.0f}" for n, w in zip(numbers, (5, 5, 6, 7, 7), strict=True)),
        )
    tests = merged["stages"].get("device_tests", {}).get("tests")
    if tests:
        print("tests:", ", ".join(f"{n} {outcome}" for outcome, n in tests.items()))
    print(f"{options.seconds:.0f} s in total, including {options.setup:.0f} s to unpack")
    sys.exit(int(any(found["ended"] != "done" for found in merged["stages"].values())))


def ending(status: str, seconds: float) -> dict[str, Any]:
    """How a stage ended, in words, and its time."""
    if status == "skipped":
        return {"ended": "no time was left", "wall_s": seconds}
    code = int(status)
    return {"ended": STOPPED.get(code, f"failed with {code}") if code else "done", "wall_s": seconds}


def read(path: Path) -> dict[str, Any]:
    """Document of a stage; empty if it wrote none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


if __name__ == "__main__":
    main()
