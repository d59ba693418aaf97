"""Worker scripts of benchmarks, run in a process of their own."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def worker(python: str, script: str, request: dict) -> dict:
    """Result of a worker script in a new process."""
    command = [python, "-W", "ignore", str(HERE / "workers" / script), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
