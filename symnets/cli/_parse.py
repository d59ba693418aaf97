"""From the words of a command line to a command, a dataclass of its options."""

import inspect
import io
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any, TypeVar

import tyro

from symnets.config import OutOfRange

C = TypeVar("C")


def parse(cls: type[C], name: str, arguments: Sequence[str], **options: Any) -> C:
    """A command from its arguments; `--help` shows the whole docstring of its class, with the example.

    Args:
        cls: the command.
        name: what the user calls it, such as "data inspect".
        arguments: what follows the name.
        options: more for `tyro.cli`.

    Raises:
        OutOfRange: a value makes no sense.
        SystemExit: tyro has shown help, or an argument it does not understand.
    """
    # tyro itself would leave out the docstring's Example.
    options |= {"prog": f"symnets {name}", "args": list(arguments), "description": inspect.getdoc(cls)}
    try:
        with redirect_stderr(io.StringIO()):  # console_outputs=False lets boxes of wrong values through
            return tyro.cli(cls, **options, console_outputs=False)
    except SystemExit as stop:
        cause = stop.__context__
        while cause is not None and not isinstance(cause, OutOfRange):
            cause = cause.__context__
    if cause is not None:  # tyro would draw it as a box
        raise cause
    return tyro.cli(cls, **options)
