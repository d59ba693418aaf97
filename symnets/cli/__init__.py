"""The command line: `symnets COMMAND ...`, one command a file, each a dataclass of its options."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from symnets import __version__
from symnets.cli._parse import parse
from symnets.memory import keep_memory

LESS_MEMORY = {
    "train": "lower --optimizer.batch-size",
    "evaluate": "lower --batch-size",
    "md": "compile the model, take --dtype float32 or fewer atoms",
    "relax": "compile the model, take --dtype float32 or fewer atoms",
    "stability": "lower --batch-size",
}
"""What takes less memory, by command."""

# Command -> (module, dataclass, one line). Modules are imported when asked for: torch takes a while.
COMMANDS = {
    "demo": (
        "symnets.demo._command",
        "Demo",
        "learn ethanol in five minutes, from labels to dynamics, with a report",
    ),
    "train": ("symnets.cli._train", "Train", "train a potential from a YAML configuration"),
    "evaluate": ("symnets.cli._evaluate", "Evaluate", "errors of a model on labelled structures"),
    "md": ("symnets.cli._md", "Md", "molecular dynamics with a model"),
    "relax": ("symnets.cli._relax", "Relax", "relax a structure, or its cell too, with a model"),
    "compile": ("symnets.cli._compile", "Compile", "a model made ready for inference, several times faster"),
    "info": ("symnets.cli._info", "Info", "what a model file holds"),
    "stability": (
        "symnets.cli._stability",
        "StabilityOf",
        "how far deformed images move the layers of a network",
    ),
    "run": ("symnets.cli._sweep", "Run", "one run of an experiment"),
    "sweep": ("symnets.cli._sweep", "Sweep", "an experiment on a grid of configurations, with its figure"),
    "figure": ("symnets.cli._results", "Figure", "the figure, table and findings of a sweep, drawn anew"),
    "table": ("symnets.cli._results", "TableOf", "the table of a sweep as CSV or Parquet"),
    "report": ("symnets.cli._results", "Report", "all sweeps below a directory on one HTML page"),
    "data generate": ("symnets.cli._data", "Generate", "make labelled structures with GFN2-xTB dynamics"),
    "data inspect": ("symnets.cli._data", "Inspect", "what a file of structures holds"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 2 for a user's mistake, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    errors = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(_overview())
        return 0
    if arguments[0] == "--version":
        print(f"symnets {__version__}")
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS and rest:
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)
        errors.print(
            f"[red]error:[/] unknown command {escape(repr(name))}; did you mean `symnets {near[0]}`?"
        )
        return 2
    keep_memory()
    try:
        module, cls, _ = COMMANDS[name]
        command = getattr(importlib.import_module(module), cls)
        own = getattr(command, "parse", None)  # of a command whose defaults come from a file
        chosen = own(rest) if own else parse(command, name, rest)
        return chosen.run() or 0
    except (ValueError, OSError, FloatingPointError, ImportError) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 2
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which need not have been imported
            raise
        advice = LESS_MEMORY.get(name, "take less at once")
        told = f"the GPU is out of memory; {advice}, or run on the CPU. {str(error).partition('. GPU ')[0]}"
        errors.print(f"[red]error:[/] {escape(told)}", soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted")
        return 130


def _overview() -> Table:
    table = Table(
        title="symnets COMMAND [--help]",
        caption=f"version {__version__}; start with `symnets demo`",
        box=None,
        show_header=False,
        title_justify="left",
        caption_justify="left",
    )
    for name, (_, _, line) in COMMANDS.items():
        table.add_row(f"  [bold]{name}[/]", line)
    return table
