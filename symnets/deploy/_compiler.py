"""The C or C++ compiler of this machine."""

import shlex
import shutil
from collections.abc import Sequence


def find_compiler(chosen: str, names: Sequence[str]) -> list[str] | None:
    """Command of a compiler as a list of words, or None if it is not installed.

    Args:
        chosen: program and options in the syntax of the shell, such as "gcc -m64"; "" for the first of
            `names` that is installed.
        names: names of programs.
    """
    try:
        commands = [shlex.split(chosen)] if chosen else [[name] for name in names]
    except ValueError:  # a quotation without end
        return None
    return next((command for command in commands if shutil.which(command[0])), None)
