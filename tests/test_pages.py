"""Every page of README and docs runs from top to bottom, in a fresh folder and without a network.

The blocks of a page run in order: Python in one namespace, lines that begin with `symnets` by its commands,
other lines by bash. An HTML comment before a block says what is special about it; readers do not see it:

- `<!-- file: walk.py -->`: the block is the content of this file;
- `<!-- test: LINES -->`: these run in its place, with smaller sizes; lines of Python or of a shell;
- `<!-- slow -->`: it runs with `pytest -m slow` only;
- `<!-- skip: REASON -->`: it does not run, because it installs packages, say.

A block of Python whose first line is `# needs: PACKAGE` runs where the package is installed.
"""

import importlib.util
import os
import random
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from symnets.cli import COMMANDS, main
from symnets.downloads import cache
from symnets.ops import _code_cache

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "docs" / "index.md"]
    + [
        page
        for folder in ("how-to", "recipes", "experiments")
        for page in (ROOT / "docs" / folder).glob("*.md")
    ]
)
BLOCK = re.compile(r"((?:^<!--(?:(?!-->).)*-->\n+)*)^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LONG = ("README.md", "attractors.md", "compile.md", "laws.md", "native.md", "regimes.md")
"""Pages that take more than three seconds, and run with `pytest -m slow` only."""
DEMO = ROOT / "docs" / "how-to" / "demo.md"
"""tests/demo/test_demo.py runs this page, and checks what the demo writes."""
COMMENT = re.compile(r"<!--\s*(file|test|slow|skip)(?::\s*(.*?))?\s*-->", re.DOTALL)
NUMBERS = r"\d+|an?|few|some|half a|one|two|three|four|five|ten|twenty"
DURATION = re.compile(rf"\b({NUMBERS}) (s|seconds?|min|minutes?|hours?)\b|([Ss]econds|[Mm]inutes|[Hh]ours)\b")


class Block(NamedTuple):
    """A code block of a page: its language, its text, and what the comments before it say."""

    language: str
    text: str
    said: dict[str, str]
    line: int


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(match[2], match[3], dict(COMMENT.findall(match[1])), text[: match.start(3)].count("\n") + 1)
        for match in BLOCK.finditer(text)
        if match[2] in ("python", "bash", "yaml")
    ]


def has_slow_blocks(page: Path) -> bool:
    """Whether a block of a page runs with `pytest -m slow` only."""
    return any("slow" in block.said for block in blocks(page))


def runs(page: Path) -> bool:
    """Whether a block of a page runs without its slow ones; long pages run once, with them."""
    if page.name in LONG and has_slow_blocks(page):
        return False
    return any(b.language != "yaml" and not {"skip", "slow"} & set(b.said) for b in blocks(page))


def repeated(page: Path) -> bool:
    """Whether README begins with all blocks of a page, as of the front page of the documentation."""
    readme, own = ([(b.language, b.text, b.said) for b in blocks(each)] for each in (PAGES[0], page))
    return page != PAGES[0] and own == readme[: len(own)]


def named(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


def no_network(*args: object, **options: object) -> None:
    """Takes the place of a download."""
    raise OSError("pages are followed without a network")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh working directory; what pages change in this process is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    own_cache = cache()
    monkeypatch.setattr(_code_cache, "cache", lambda: own_cache)  # no machine code is made twice
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr(socket.socket, "connect", no_network)
    environment = dict(os.environ)
    modules, dtype, threads = set(sys.modules), torch.get_default_dtype(), torch.get_num_threads()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    yield tmp_path
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def run_page(page: Path, *, slow: bool) -> None:
    """Runs the blocks of a page in the working directory."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if "skip" in block.said or ("slow" in block.said and not slow):
            continue
        text = block.said.get("test", block.text)
        if "file" in block.said:
            Path(block.said["file"]).write_text(text, "utf-8")
        elif block.language == "bash" or text.startswith("symnets "):
            run_commands(text, f"{page.name}, line {block.line}")
        elif block.language == "python" and installed(text):
            exec(compile("\n" * (block.line - 1) + text, str(page), "exec"), names)
    for name in [name for name in names if name.startswith("test_")]:  # tests that a page shows
        names[name]()  # pyright: ignore[reportCallIssue]


def installed(text: str) -> bool:
    """Whether the package that a block needs is installed."""
    needed = re.match(r"# needs: (\w+)", text)
    return needed is None or importlib.util.find_spec(needed[1]) is not None


def run_commands(text: str, where: str) -> None:
    """Runs lines of a shell; `symnets` runs in this process, which has imported it already."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "export":
            os.environ.update([words[1].split("=", 1)])
        elif words[0] == "symnets" and not set("|;&<>$") & set(line.partition("#")[0]):
            if words[1] == "sweep" and "--executor" not in words:
                words += ["--executor", "serial"]
            try:
                status = main(words[1:])
            except SystemExit as stop:  # --help
                status = stop.code
            assert status == 0, f"{where}: {line}"
        else:
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: {line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[pytest.mark.slow] * (page.name in LONG))
        for page in PAGES
        if runs(page) and not repeated(page)
    ],
)
def test_page_runs(page: Path, folder: Path) -> None:
    run_page(page, slow=False)


@pytest.mark.slow
@named([page for page in PAGES if page != DEMO and has_slow_blocks(page)])
def test_page_runs_with_its_slow_blocks(page: Path, folder: Path) -> None:
    run_page(page, slow=True)


@named(PAGES)
def test_commands_say_how_long_they_take(page: Path) -> None:
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        if match[2] == "bash" and "symnets" in match[3]:
            before, after = text[: match.start()].strip(), text[match.end() :].strip()
            beside = before.rpartition("\n\n")[2] + match[3] + after.partition("\n\n")[0]
            line = text[: match.start(3)].count("\n") + 1
            assert DURATION.search(beside), f"{page.name}, line {line}: say how long the commands take"


@named(PAGES)
def test_commands_exist(page: Path) -> None:
    shown = "\n".join(block.text for block in blocks(page) if block.language == "bash")
    assert set(re.findall(r"^symnets ((?:data|lammps) \w+|\w+)", shown, re.MULTILINE)) <= set(COMMANDS)
