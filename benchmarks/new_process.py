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


class Peer:
    """A worker script in another environment that does one task for each line that it reads.

    Attributes:
        first: what it prints at the start.
    """

    def __init__(self, python: str, script: str, request: dict) -> None:
        command = [python, "-W", "ignore", str(HERE / "workers" / script), json.dumps(request)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self._read()

    def turn(self, task: str = "") -> float:
        """Seconds of one task, which a line with its name requests."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task}\n")
        self.process.stdin.flush()
        return self._read()["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self.process.wait()}")
        return json.loads(line)
