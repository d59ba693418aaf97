"""The page on troubleshooting quotes messages as the package prints them.

An entry is an item of a list that begins with the first words of a message, as code and with a colon behind;
`...` in it stands for what the package fills in, placeholders of an f-string.
Symptoms without a message are bold.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
ENTRY = re.compile(r"^- `([^`]+)`: ", re.MULTILINE)
PLACEHOLDER = "\0"
MARKUP = re.compile(r"\[/?(?:red|yellow|green|bold|dim|cyan)?\]")


def literals(tree: ast.AST) -> Iterator[str]:
    """Strings of a module apart from docstrings, each placeholder of an f-string as one character."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values
            )


def printed() -> list[str]:
    """All strings of the package without the markup of colours."""
    files = sorted((ROOT / "symnets").rglob("*.py"))
    modules = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return sorted({MARKUP.sub("", text) for module in modules for text in literals(module)})


def begins(quotation: str, text: str) -> bool:
    """Whether a string begins as quoted, where `...` is one placeholder or several."""
    start = quotation.partition("...")[0]
    if not text.startswith(start):
        return False
    pattern = f"{PLACEHOLDER}+".join(re.escape(part) for part in quotation.split("..."))
    return re.match(pattern, text) is not None


def quotations() -> list[str]:
    return ENTRY.findall(PAGE.read_text(encoding="utf-8"))


def test_quotations_are_messages_of_the_package() -> None:
    texts = printed()
    unknown = [quotation for quotation in quotations() if not any(begins(quotation, text) for text in texts)]
    assert not unknown


def test_quotations_are_long_enough_to_be_found_and_occur_once() -> None:
    found = quotations()
    assert len(found) > 100
    assert len(found) == len(set(found))
    assert not [quotation for quotation in found if len(quotation.replace("...", "").split()) < 2]


def test_entries_begin_with_a_message_or_a_symptom() -> None:
    entries = re.findall(r"^- .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert not [entry for entry in entries if not ENTRY.match(entry) and not entry.startswith("- **")]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ValueError(f"{path}: the file exists; choose another " "one")', True),
        ('print(f"[yellow]{a}{b}: the file exists; choose another[/]")', True),
        ('raise ValueError(f"{path}: the file is there; choose another one")', False),
        ('raise ValueError("path: the file exists; choose another one")', False),
        ('print(f"the file {path}: the file exists; choose another")', False),
        ('f"{path}: the file exists; choose another one."', False),
    ],
)
def test_a_message_that_changes_is_no_longer_found(source: str, found: bool) -> None:
    texts = [MARKUP.sub("", text) for text in literals(ast.parse(source))]
    assert any(begins("...: the file exists; choose another", text) for text in texts) is found
