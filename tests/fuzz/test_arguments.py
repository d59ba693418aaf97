"""Random arguments: every command runs, explains itself or refuses in a message."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symnets.cli import main
from symnets.cli._main import COMMANDS, _command
from tests.fuzz.commands import refusal, run_harmlessly
from tests.fuzz.conftest import FUZZ
from tests.fuzz.mutations import arguments

CHEAP = ("info", "list", "data inspect", "table", "figure", "report")
"""Commands that end within a second or two whatever they are asked."""


@pytest.mark.parametrize("name", COMMANDS)
@FUZZ
@given(data=st.data())
def test_random_arguments_are_understood_or_refused(
    name, data, capsys, force_field, picture_net, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = _options(name, capsys)
    operands = (
        str(force_field),
        str(picture_net),
        "missing.yaml",
        str(tmp_path),
        "jamming_spheres",
        "models",
    )
    chosen = data.draw(arguments(options, operands))
    if name in CHEAP:
        run_harmlessly([*name.split(), *chosen], inputs=[force_field, picture_net])
        return
    assert refusal(lambda: _command(name, chosen)) != ""  # any other exception fails the test


def _options(name: str, capsys) -> tuple[str, ...]:
    """All options in the help of a command."""
    if name not in _KNOWN:
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main([*name.split(), "--help"])
        _KNOWN[name] = tuple(
            sorted(set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out)) | {"--oops", "-h"})
        )
    return _KNOWN[name]


_KNOWN: dict[str, tuple[str, ...]] = {}
