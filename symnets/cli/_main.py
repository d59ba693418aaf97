"""The entry point `symnets`: runs one command and turns its errors into one line and an exit status."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

from symnets import __version__
from symnets.cli._streams import BROKEN_PIPE, error_line, flush_streams, prepare_streams
from symnets.memory import keep_memory
from symnets.names import nearest


class Entry(NamedTuple):
    """A command: package and name of its class, and a summary in one line."""

    package: str
    name: str
    summary: str


GROUPS = {
    "Potentials": {
        "train": Entry("symnets.cli", "Train", "Train a potential from a YAML configuration"),
        "finetune": Entry("symnets.cli", "Finetune", "Train a foundation model further on your structures"),
        "evaluate": Entry("symnets.cli", "Evaluate", "Measure a potential's errors on labelled structures"),
        "md": Entry("symnets.cli", "Md", "Run molecular dynamics with a potential"),
        "relax": Entry("symnets.cli", "Relax", "Relax a structure, and optionally its cell"),
        "compile": Entry("symnets.cli", "Compile", "Prepare a potential for faster inference"),
        "export": Entry("symnets.cli", "Export", "Write a potential as a shared library: LAMMPS, C, Fortran"),
        "lammps build": Entry("symnets.cli", "BuildLammps", "Compile the pair style for LAMMPS"),
        "data generate": Entry("symnets.cli", "Generate", "Generate structures labelled with GFN2-xTB"),
        "data inspect": Entry("symnets.cli", "Inspect", "Summarise a file of structures"),
    },
    "Images and deformations": {
        "stability": Entry(
            "symnets.cli", "MeasureStability", "Measure a network's stability to deformations: D, G, R"
        ),
    },
    "Landscape and stability experiments": {
        "run": Entry("symnets.cli", "Run", "Run one configuration of an experiment"),
        "sweep": Entry("symnets.cli", "Sweep", "Run an experiment on a grid and draw its figure"),
        "figure": Entry("symnets.cli", "Figure", "Redraw the figure of a sweep"),
        "table": Entry("symnets.cli", "TableOf", "Write the runs of a sweep as CSV or Parquet"),
        "report": Entry("symnets.cli", "Report", "Collect the sweeps below a directory on one HTML page"),
    },
    "General": {
        "demo": Entry("symnets.demo", "Demo", "Show all three subjects in about six minutes"),
        "list": Entry("symnets.cli", "List", "List models, datasets, experiments or observables"),
        "models": Entry("symnets.cli", "Models", "List published foundation models, or show one"),
        "info": Entry("symnets.cli", "Info", "Show what a model file contains"),
    },
}

COMMANDS = {name: entry for group in GROUPS.values() for name, entry in group.items()}
"""Commands by name. Their modules are imported only when a command runs, because importing torch is slow."""

LESS_MEMORY = {
    "train": "lower --optimizer.batch-size",
    "finetune": "lower --batch-size",
    "evaluate": "lower --batch-size",
    "md": "compile the model, use --dtype float32 or fewer atoms",
    "relax": "compile the model, use --dtype float32 or fewer atoms",
    "stability": "lower --batch-size",
}
"""What to do when the GPU is out of memory, by command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    The status is 0 on success, 1 if a run failed or a relaxation did not converge, 2 for a wrong input or a
    file that could not be written, 130 after Ctrl-C, and 141 if the reader of a pipe has closed it.

    Args:
        arguments: the words after `symnets`; `sys.argv` by default.
    """
    prepare_streams()
    try:
        try:
            return _main(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            flush_streams()
    except BrokenPipeError:
        flush_streams(discard=True)
        return BROKEN_PIPE
    except OSError as error:  # output is redirected to a disk that is full
        return _failed(error)
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):  # rich exits after a BrokenPipeError
            raise
        flush_streams(discard=True)
        return BROKEN_PIPE


def _main(arguments: list[str]) -> int:
    errors = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(_overview(), highlight=False, soft_wrap=True)
        return 0
    if arguments[0] == "--version":
        print(f"symnets {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS and rest:  # such as `data inspect`
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name not in COMMANDS:
        message = f"unknown command {name!r}; did you mean `symnets {nearest(name, COMMANDS)[0]}`?"
        errors.print(f"[red]error:[/] {escape(message)}")
        return 2
    keep_memory()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_warning
            return _command(name, rest).run() or 0
    except BrokenPipeError:
        raise
    except (ValueError, OSError, FloatingPointError, ImportError, MemoryError) as error:
        return _failed(error)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's class; torch may not be imported here
            raise
        advice, reason = LESS_MEMORY.get(name, "use a smaller input"), str(error).partition(". GPU ")[0]
        message = f"the GPU is out of memory; {advice}, or run on the CPU. {reason}"
        return _failed(ValueError(message))
    except KeyboardInterrupt:
        errors.print("interrupted")
        return 130


def _failed(error: BaseException) -> int:
    """Print an error in one line, and return the exit status of wrong inputs."""
    flush_streams(discard=True)  # buffered output that could not be written would raise the error again
    Console(stderr=True).print(f"[red]error:[/] {escape(error_line(error))}", soft_wrap=True)
    return 2


def _command(name: str, arguments: Sequence[str]) -> Any:
    """The command with its options set from the command line."""
    from symnets.cli._parse import parse  # imports tyro, which `symnets --help` does not need

    entry = COMMANDS[name]
    cls = getattr(importlib.import_module(entry.package), entry.name)
    if hasattr(cls, "parse"):  # the defaults of this command depend on its first argument
        return cls.parse(arguments)
    return parse(cls, name, arguments)


def _print_warning(message: Warning | str, *where: Any) -> None:
    """Print a warning as one line, without the line of code that it comes from."""
    text = f"[yellow]warning:[/] {escape(str(message))}"
    Console(stderr=True).print(text, soft_wrap=True, highlight=False)


def _overview() -> str:
    lines = ["usage: symnets COMMAND [OPTIONS]   (symnets COMMAND --help explains a command)"]
    for title, group in GROUPS.items():
        lines += ["", f"[bold]{title}[/]"]
        lines += [f"  [cyan]{name:<15}[/] {entry.summary}" for name, entry in group.items()]
    return "\n".join([*lines, "", f"version {__version__}; start with `symnets demo`"])
