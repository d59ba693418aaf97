"""Provenance of a result: versions of packages, git commit, GPU."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "symnets",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "e3nn",
    "numba",
    "torch-geometric",
    "vesin",
    "ase",
)


@lru_cache
def provenance() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on, and the git commit of symnets.

    The version of a package that is not installed is None. The commit is that of the checkout from which
    symnets is imported, with "+" if tracked files differ from it; it is None if symnets is installed as a
    package.
    """
    versions: dict[str, str | None] = {name: _version(name) for name in PACKAGES}
    return versions | {"python": platform.python_version(), "commit": _commit()}


def made_on(device: object) -> dict[str, str | None]:
    """Name of the GPU and version of CUDA for the device of a configuration; empty for a CPU or None."""
    if device is None or str(device) == "cpu":
        return {}
    import torch  # here, since reading a table should not wait for it

    name = "cuda" if device == "auto" and torch.cuda.is_available() else str(device)
    if not name.startswith("cuda"):
        return {}
    return {"gpu": torch.cuda.get_device_name(torch.device(name)), "cuda": torch.version.cuda}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a copy of the source, say
        return None


def _commit() -> str | None:
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head, changed = (
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or a folder git does not trust
        return None
    return f"{head}+" if changed else head
