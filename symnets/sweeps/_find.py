"""Experiments by name: found by their import path, listed without importing them."""

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from symnets.names import did_you_mean
from symnets.sweeps._experiment import Experiment

HOME = "symnets.experiments"
"""Package of symnets' own experiments."""
PARTS = ("Config", "PRESETS", "run", "findings", "figure")
"""Names that a module must define to be an experiment."""


def find(name: str) -> Experiment:
    """An experiment by its name: a module of `symnets.experiments`, or any module's dotted path.

    Other modules are imported from Python's path, to which the working directory is added last.

    Raises:
        ValueError: there is none of this name (the message has the nearest one), or the module is not an
            experiment.
        ImportError: the module imports something that is not installed.
    """
    path = f"{HOME}.{name}"
    if not _exists(path):
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        path = name
        if not _exists(path):
            raise ValueError(
                f"unknown experiment {name!r}; {did_you_mean(name, experiments())}; an experiment of your "
                "own is named by its import path, such as mine.jamming"
            )
    module = importlib.import_module(path)
    if missing := [part for part in PARTS if not hasattr(module, part)]:
        raise ValueError(f"{path} is not an experiment: it lacks {', '.join(missing)}")
    return cast(Experiment, module)


def experiments() -> dict[str, str]:
    """First lines of the docstrings of symnets' experiments, by name; modules are read, not imported."""
    descriptions = {}
    for folder in map(Path, importlib.import_module(HOME).__path__):
        for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
            tree = ast.parse(path.read_text("utf-8"))
            if set(PARTS) <= set(_names(tree)):
                name = path.parent.name if path.name == "__init__.py" else path.stem
                descriptions[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return descriptions


def name_of(experiment: Experiment) -> str:
    """The name by which `find` finds an experiment; a column of the table.

    Raises:
        ValueError: the module is the running script, which other processes cannot import.
    """
    if experiment.__name__ == "__main__":
        raise ValueError("an experiment must be a module that can be imported, not the script that runs")
    return experiment.__name__.removeprefix(f"{HOME}.")


def _names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines or imports at top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _exists(path: str) -> bool:
    if not all(word.isidentifier() for word in path.split(".")):
        return False
    try:
        return importlib.util.find_spec(path) is not None
    except (ModuleNotFoundError, ValueError):  # a package on the way is missing; `__main__`
        return False
