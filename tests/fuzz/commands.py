"""Commands run within this process on damaged input, and what must hold afterwards."""

import contextlib
import io
import json
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from symnets.cli import main

LONGEST = 120
"""Seconds after which a command counts as hanging; the commands tried here end within a second or two."""


class Hang(BaseException):
    """A command did not end in time; no command catches this."""


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Raise `Hang` if the block has not ended after `LONGEST` seconds."""

    def stop(*_: object) -> None:
        raise Hang(f"not ended after {LONGEST} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_harmlessly(
    arguments: Sequence[str], *, inputs: Sequence[Path] = (), outputs: Path | None = None
) -> int:
    """Exit status of a command, after checks that it did no harm.

    An exception that the command lets through would be a traceback for the user, and fails the test. A status
    of 1 or 2 comes with a message. Inputs keep their bytes. Numbers in JSON and CSV files below `outputs` are
    finite.
    """
    before = {path: path.read_bytes() for path in inputs}
    printed, said = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(),
        ending(),
    ):
        warnings.simplefilter("ignore")
        try:
            status = main(list(map(str, arguments)))
        except SystemExit as end:  # tyro's help and its errors
            status = end.code if isinstance(end.code, int) else 2
    assert status in (0, 1, 2), f"exit status {status}"
    message = said.getvalue()
    assert "Traceback" not in message + printed.getvalue()
    assert status == 0 or (message + printed.getvalue()).strip(), "a failure without a message"
    assert {path: path.read_bytes() for path in inputs} == before, "an input was changed"
    for path in sorted(outputs.rglob("*")) if outputs and outputs.exists() else ():
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"), parse_constant=_refuse)
        elif path.suffix == ".csv":
            assert not {"nan", "inf", "-inf"} & set(
                path.read_text("utf-8").lower().replace("\n", ",").split(",")
            )
    return status


def refusal(function: Callable[[], object]) -> str | None:
    """The message with which a call refuses its input, or None if it accepts it."""
    try:
        with ending():
            function()
    except SystemExit as end:  # tyro's
        return f"exit status {end.code}"
    except (ValueError, OSError, ImportError) as error:
        return str(error)
    return None


def _refuse(constant: str) -> Any:
    raise AssertionError(f"a JSON file holds {constant}")


def all_finite(value: Any) -> bool:
    """Whether all numbers in nested dicts and lists are finite."""
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(all_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
