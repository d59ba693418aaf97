"""Experiments by name."""

import ast
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import symnets.experiments
from symnets.experiments.experiment import Experiment

HOME = "symnets.experiments"
PARTS = ("Config", "PRESETS", "run", "together", "figure", "findings")


def find(name: str) -> Experiment:
    """An experiment by its name: a module of `symnets.experiments`, or any module's dotted path.

    Modules of one's own are sought where Python seeks them, last in the working directory.

    Raises:
        ValueError: there is none of this name (the nearest is named), or the module is no experiment.
        ImportError: the module imports something that is not there.
    """
    path = f"{HOME}.{name}"
    if not _exists(path):
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        path = name
        if not _exists(path):
            near = difflib.get_close_matches(name, known := list(experiments()), n=1, cutoff=0.0)
            nearest = f"did you mean {near[0]!r}? There are {', '.join(known)}; y" if near else "Y"
            raise ValueError(
                f"unknown experiment {name!r}; {nearest}our own is named by its import path, such as "
                "mine.jamming"
            )
    module = importlib.import_module(path)
    if missing := [part for part in PARTS if not hasattr(module, part)]:
        raise ValueError(f"{path} is no experiment: it lacks {', '.join(missing)}")
    return cast(Experiment, module)


def experiments() -> dict[str, str]:
    """The experiments of symnets: name -> first line of the docstring. Nothing is imported for it."""
    found = {}
    for folder in map(Path, symnets.experiments.__path__):
        for path in sorted([*folder.glob("*.py"), *folder.glob("*/__init__.py")]):
            tree = ast.parse(path.read_text("utf-8"))
            if set(PARTS) <= set(_names(tree)):
                name = path.parent.name if path.name == "__init__.py" else path.stem
                found[name] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def name_of(experiment: Experiment) -> str:
    """What `find` calls an experiment; it stands in every row.

    Raises:
        ValueError: the module is the script that runs, which other processes could not import.
    """
    if experiment.__name__ == "__main__":
        raise ValueError("an experiment must be a module that can be imported, not the script that runs")
    return experiment.__name__.removeprefix(f"{HOME}.")


def _names(tree: ast.Module) -> Iterator[str]:
    """Names that a module defines or imports."""
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
