"""Sweeps of toys, for other processes to run."""

import os
from pathlib import Path

from symnets.sweeps import Serial, sweep
from tests.sweeps import toy_noise


def sweep_noise(directory: Path, log: Path | None = None) -> None:
    """Two hundred runs in this process; each run appends a line to the log."""
    if log is not None:
        os.environ["TOY_LOG"] = str(log)
    sweep(toy_noise, toy_noise.PRESETS["paper"], directory, executor=Serial(), progress=False)
