"""Imports flow one way: docs/design.md, "Subpackages"."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "symnets"
FLOORS = [
    {"device", "downloads", "files", "interrupt", "memory", "names", "provenance", "threads", "yaml_files"},
    {"config"},
    {"data", "ops"},
    {"diffeo", "loss"},
    {"native"},
    {"nn"},
    {"models"},
    {"estimates", "observables", "simulate", "testing", "training"},
    {"report", "deploy"},
    {"sweeps"},
    {"setups"},
    {"experiments", "potentials"},
    {"cli", "demo"},
]
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports(path: Path) -> set[str]:
    """Dotted names a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def subpackage(dotted: str) -> str | None:
    """Subpackage of a dotted name: "nn" of "symnets.nn._linear"; None for other packages than symnets."""
    first, _, rest = dotted.partition(".")
    return rest.partition(".")[0] if first == "symnets" and rest else None


def floor(name: str) -> int:
    """Index of a subpackage's floor: it imports from lower floors and from itself only."""
    return next(level for level, names in enumerate(FLOORS) if name in names)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES])
def test_imports_flow_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own == "__init__":
        assert not any(subpackage(name) for name in imports(path)), "symnets/__init__.py imports nothing"
        return
    if own == "__main__":
        return
    for name in imports(path):
        other = subpackage(name)
        if other not in (None, own) and not other.startswith("__"):
            assert floor(other) < floor(own), f"{path}: {own} may not import {name}"


def test_hypothesis_is_needed_by_the_strategies_only() -> None:
    users = [path for path in FILES if any(name.startswith("hypothesis") for name in imports(path))]
    assert users == [PACKAGE / "testing" / "_strategies.py"]
