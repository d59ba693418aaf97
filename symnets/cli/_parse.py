"""Parse the arguments of a command into its dataclass of options, with tyro."""

import inspect
import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any, TypeVar

import tyro

from symnets.config import OutOfRange

C = TypeVar("C")


def parse(cls: type[C], name: str, arguments: Sequence[str], **options: Any) -> C:
    """Parse the arguments of one command; `--help` prints the whole docstring of its class.

    Args:
        cls: the dataclass of the command.
        name: its name on the command line, such as "data inspect".
        arguments: the words after the name.
        options: further options of `tyro.cli`.

    Raises:
        OutOfRange: a value lies outside its allowed range.
        SystemExit: tyro printed the help text, or the error of an argument that it cannot parse.
    """
    # By default tyro would omit the section Example of the docstring.
    options |= {"prog": f"symnets {name}", "args": list(arguments), "description": inspect.getdoc(cls)}
    try:
        with redirect_stderr(io.StringIO()):  # tyro prints some errors despite console_outputs=False
            return tyro.cli(cls, **options, console_outputs=False)
    except SystemExit as stop:
        cause = stop.__context__
        while cause is not None and not isinstance(cause, OutOfRange):
            cause = cause.__context__
    if cause is not None:  # one line, in place of the box that tyro draws
        raise cause
    return tyro.cli(cls, **options)
