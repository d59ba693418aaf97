"""Programs that use symnets potentials: their installation, and the code blocks of their pages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from symnets.models import ForceField, NequIP, save
from symnets.simulate import compile

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def install(folder: Path, package: str) -> dict[str, str]:
    """Install a package without its dependencies into a folder; skip the test where that fails.

    Returns:
        the environment in which Python finds it, and this checkout.
    """
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        package,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install {package}: {done.stderr.strip()[-200:]}")
    paths = f"{folder}{os.pathsep}{ROOT}"
    return {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


def code_blocks(page: str, language: str) -> list[str]:
    """Code blocks of a page of docs/how-to in a language."""
    text = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    return [block for name, block in BLOCK.findall(text) if name == language]


def save_potential(path: Path) -> None:
    """Save a small compiled potential of C, H and O with random weights."""
    torch.manual_seed(0)
    network = NequIP(["H", "C", "O"], cutoff=4.0, channels=4, layers=2, lmax=1, scale=0.05)
    save(compile(ForceField(network), tolerance=1e-3), path)
