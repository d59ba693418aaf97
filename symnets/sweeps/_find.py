"""Experiments by name: found by their import path, listed and hashed without importing them."""

import ast
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import cast

from symnets.config import fingerprint
from symnets.names import did_you_mean
from symnets.provenance import provenance
from symnets.sweeps._experiment import Experiment

HOME = "symnets.experiments"
"""Package of symnets' own experiments."""
PARTS = ("Config", "PRESETS", "run", "findings", "figure")
"""Names that a module must define to be an experiment."""


def find(name: str) -> Experiment:
    """An experiment by its name: a module of `symnets.experiments`, or any module's dotted path.

    Other modules are imported from Python's path, to which the working directory is added last.

    Raises:
        ValueError: there is none of this name (the message names the nearest one), another module hides the
            file of this name in the working directory, or the module is not an experiment.
        ImportError: the module cannot be imported, for example because it needs something that is not
            installed.
    """
    path = _import_path(name)
    if path is None:
        raise ValueError(
            f"unknown experiment {name!r}; {did_you_mean(name, experiments())}; an experiment of your "
            "own is named by its import path, such as mine.jamming"
        )
    spec = _spec(path)
    found = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    own = _file_below(Path.cwd(), name)
    if own is not None and found is not None and own.resolve() != found.resolve():
        raise ValueError(f"{name}: {found} hides {own}, which Python finds last; rename {own.name}")
    try:
        module = importlib.import_module(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, also SystemExit
        raise ImportError(f"{found or path} cannot be imported: {error_line(error)}") from error
    if missing := [part for part in PARTS if not hasattr(module, part)]:
        raise ValueError(f"{path} ({found}) is not an experiment: it lacks {', '.join(missing)}")
    return cast(Experiment, module)


def error_line(error: BaseException) -> str:
    """Type and message of an exception, with the file and line that raised it, on one line."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    if isinstance(error, SyntaxError):  # its text has the place
        return text
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename.endswith(".py")]
    calls = [call for call in calls if not set(Path(call.filename).parts) & {"site-packages", "importlib"}]
    calls = [call for call in calls if not call.filename.startswith(os.path.dirname(__file__))]
    return f"{text} ({calls[-1].filename}, line {calls[-1].lineno})" if calls else text


def experiments() -> dict[str, str]:
    """First lines of the docstrings of symnets' experiments, by name; modules are read, not imported."""
    return {
        name: (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
        for name, path in experiment_files().items()
    }


def experiment_files() -> dict[str, Path]:
    """Files of symnets' experiments, by name."""
    files = {}
    for folder in map(Path, importlib.import_module(HOME).__path__):
        paths = [*folder.glob("[!.]*.py"), *folder.glob("[!.]*/__init__.py")]  # macOS writes ._NAME.py
        for path in sorted(paths):
            if set(PARTS) <= set(_names(ast.parse(path.read_text("utf-8")))):
                files[path.parent.name if path.name == "__init__.py" else path.stem] = path
    return files


def name_of(experiment: Experiment) -> str:
    """The name by which `find` finds an experiment; it is in the column `experiment` of the table.

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


def _import_path(name: str) -> str | None:
    """Import path of an experiment by its name; None if there is no such module."""
    for path in (f"{HOME}.{name}", name):
        if path == name and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        if _spec(path) is not None:
            return path
    return None


def _spec(path: str) -> ModuleSpec | None:
    if not all(word.isidentifier() for word in path.split(".")):
        return None
    try:
        return importlib.util.find_spec(path)
    except (ModuleNotFoundError, ValueError):  # a parent package is missing, or the name is `__main__`
        return None


def _source(name: str) -> tuple[str, Path] | None:
    """Import path and source file of an experiment, found on Python's path without importing anything."""
    if not all(word.isidentifier() for word in name.split(".")):
        return None
    for path in (f"{HOME}.{name}", name):
        if file := getattr(sys.modules.get(path), "__file__", None):
            return path, Path(file)
    for folder in importlib.import_module(HOME).__path__:
        if file := _file_below(Path(folder), name):
            return f"{HOME}.{name}", file
    files = (_file_below(Path(folder), name) for folder in [*sys.path, os.getcwd()])
    return next(((name, file) for file in files if file is not None), None)


def _file_below(folder: Path, path: str) -> Path | None:
    """Source file of a module with a dotted path that begins in a folder; None if there is no such file."""
    stem = folder.joinpath(*path.split("."))
    candidates = [stem.with_name(f"{stem.name}.py"), stem / "__init__.py"]
    return next((file for file in candidates if file.is_file()), None)


NOT_COMPUTING = ("PRESETS", "findings", "figure")
"""Parts of an experiment that do not change what a run computes."""


def source_hash(name: str) -> str | None:
    """Hash of the code that computes the runs of an experiment; None if its source is not found.

    It covers the version of symnets, the module without its docstring, `PRESETS`, `findings` and `figure`,
    and the modules that it imports from its own folder or package. The modules are read, not imported.
    """
    source = _source(name)
    if source is None or source[1].suffix != ".py":
        return None
    path, file = source
    try:
        levels = path.count(".") + (file.name == "__init__.py")
        texts = [_computing_part(file.read_text("utf-8"))]
        if not path.startswith(f"{HOME}."):  # modules of symnets are covered by its version
            texts += [
                _lines(other.read_text("utf-8")) for other in _imported(file, path, file.parents[levels])
            ]
    except (OSError, ValueError, SyntaxError):
        return None
    return fingerprint({"symnets": provenance()["symnets"], "source": texts})


def _computing_part(text: str) -> str:
    """The source of an experiment without docstring, `PRESETS`, `findings`, `figure` and empty lines."""
    tree, lines = ast.parse(text), text.splitlines()
    drop = [node for node in tree.body if set(_names(ast.Module([node], []))) & set(NOT_COMPUTING)]
    if ast.get_docstring(tree) is not None:
        drop.append(tree.body[0])
    for node in drop:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    return _lines("\n".join(lines))


def _lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _imported(file: Path, path: str, root: Path) -> list[Path]:
    """Files below a folder that a module imports, directly or indirectly, except those of symnets."""
    found, todo = {file: path}, [file]
    others = root.name not in ("site-packages", "dist-packages")
    while todo:
        here = todo.pop()
        package = found[here] if here.name == "__init__.py" else found[here].rpartition(".")[0]
        for node in ast.walk(ast.parse(here.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
                module = ".".join(filter(None, [above, node.module]))
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in filter(None, names):
                top = name.partition(".")[0]
                if top == "symnets" or not (others or top == path.partition(".")[0]):
                    continue
                other = _file_below(root, name)
                if other is not None and other not in found:
                    found[other] = name
                    todo.append(other)
    return sorted(found.keys() - {file})
