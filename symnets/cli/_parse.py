"""Parse the arguments of a command into its dataclass of options, with tyro."""

import inspect
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tyro

from symnets.config import OutOfRange, check_annotated

C = TypeVar("C")


def parse(cls: type[C], name: str, arguments: Sequence[str], **options: Any) -> C:
    """Parse the arguments of one command; `--help` prints the whole docstring of its class.

    Args:
        cls: the dataclass of the command.
        name: name of the command on the command line, such as "data inspect".
        arguments: the words after the name.
        options: further options of `tyro.cli`.

    Raises:
        ValueError: an argument is unknown, missing or of the wrong type.
        OutOfRange: a value lies outside its allowed range, or is not finite.
        SystemExit: tyro printed the help text.
    """
    words = _as_tyro_reads(arguments, dict(_options(cls, options.get("default"))))
    # By default tyro would omit the section Example of the docstring.
    options |= {"prog": f"symnets {name}", "args": words, "description": inspect.getdoc(cls)}
    if {"-h", "--help"} & set(words):
        return tyro.cli(cls, **options)
    box = io.StringIO()
    try:
        with redirect_stderr(box), redirect_stdout(box):
            command = tyro.cli(cls, **options)
    except SystemExit as stop:
        cause = stop.__context__
        while cause is not None and not isinstance(cause, OutOfRange):
            cause = cause.__context__
        help_text = f"`symnets {name} --help` lists the options"
        raise cause or ValueError(f"{_one_line(box.getvalue())}; {help_text}") from None
    for value in (command, getattr(command, "settings", None)):
        if is_dataclass(value):
            check_annotated("", value)
    return command


def _options(cls: Any, default: Any, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """Names and types of the options of a dataclass and of the dataclasses nested in it."""
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        hint, extras = hints[field.name], []
        if get_origin(hint) is Annotated:
            hint, *extras = get_args(hint)
        value = getattr(default, field.name, None)
        inner: Any = type(value) if is_dataclass(value) else hint
        name = next((extra.name for extra in extras if hasattr(extra, "name")), None)
        name = (field.name if name is None else name).replace("_", "-")
        if is_dataclass(inner):
            yield from _options(inner, value, f"{prefix}{name}." if name else prefix)
        else:
            yield f"{prefix}{name}", hint


def _as_tyro_reads(arguments: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Arguments with `--a.b true` and `--a.b false` as flags, `null` as None, and `~` as the home folder."""
    words: list[str] = []
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        hint = options.get(option.replace("_", "-")) if option.startswith("--") else None
        given = (value if equals else rest[0] if rest else "").lower()
        if hint is bool and given in ("yes", "no", "on", "off"):
            raise ValueError(f"{option}: expected true or false, got {given}")
        if hint is bool and given in ("true", "false"):
            path, dot, name = option.removeprefix("--").rpartition(".")
            words.append(f"--{path}{dot}{'' if given == 'true' else 'no-'}{name}")
        elif given in ("null", "none") and NoneType in (kinds := get_args(hint)) and str not in kinds:
            words += [option, "None"]
        elif not option.startswith("--"):
            words.append(os.path.expanduser(f"{option}{equals}{value}"))
            continue
        else:
            words.append(f"{option}{equals}{os.path.expanduser(value)}")
            continue
        if not equals:
            rest.pop(0)
    return words


def _one_line(box: str) -> str:
    """The message in the box that tyro draws, and the option that tyro suggests."""
    words = " ".join(" ".join(line.strip("│|╭╮╰╯ ") for line in box.splitlines()).split())
    title, *sections = [part.strip() for part in re.split("[─-]{8,}", words)]
    message = (sections[0] if sections else title).partition(" Got errors:")[0].removesuffix(" (required)")
    meant = [part.split()[3].rstrip(",") for part in sections[1:] if re.match("Perhaps you meant: -", part)]
    return (
        message[:1].lower()
        + message[1:].rstrip(".")
        + "".join(f"; the nearest option is {option}" for option in meant[:1])
    )
