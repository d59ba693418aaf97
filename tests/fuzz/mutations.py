"""Mutations: strategies that damage valid text, bytes, JSON values and arguments."""

import string
from typing import Any

from hypothesis import strategies as st

WORDS = (
    *(
        "nan",
        "inf",
        "-inf",
        "NaN",
        "1e400",
        "1e-320",
        "-1",
        "0",
        "-0.0",
        "0.5",
        "2",
        "1e-3",
        "99999999999999999999",
    ),
    *(
        "true",
        "None",
        "null",
        "",
        "[]",
        "{}",
        "=",
        '"',
        "'",
        ":",
        "#",
        "\\",
        "../..",
        "~",
        "/dev/null",
        "T T T",
    ),
    *(
        "ü",
        "\x00",
        "\ufeff",
        "\u202e",
        "𝒪",
        "Xx",
        "H",
        "2026-11-30",
        "!!python/object:os.system",
        "&a [*a, *a]",
    ),
)
"""Words that parsers stumble over."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 10**20, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf")),
    *("", "x", "NequIP", "1", [], {}, [1, 2], {"class": "NequIP"}, ["H", "H"], [[[]]]),
)
"""JSON values, as Python writes them, of all types and of extreme sizes."""


@st.composite
def texts(draw: st.DrawFn, original: str) -> str:
    """The original with one to four edits of its lines and words, or of single characters."""
    lines = original.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.integers(0, len(lines) - 1))
        edit = draw(
            st.sampled_from(["word", "word", "word", "value", "cut", "drop", "double", "swap", "character"])
        )
        words = lines[row].split(" ")
        column = draw(st.integers(0, len(words) - 1))
        if edit == "word":
            words[column] = draw(st.sampled_from(WORDS))
            lines[row] = " ".join(words)
        elif edit == "value":  # of key=value or key: value
            separator = "=" if "=" in words[column] else ":"
            key = words[column].partition(separator)[0]
            words[column] = f"{key}{separator}{' ' * (separator == ':')}{draw(st.sampled_from(WORDS))}"
            lines[row] = " ".join(words)
        elif edit == "cut":
            lines = [*lines[:row], lines[row][: draw(st.integers(0, len(lines[row])))]]
        elif edit == "drop":
            lines = [*lines[:row], *lines[row + 1 :]] or [""]
        elif edit == "double":
            lines.insert(row, lines[row])
        elif edit == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[row], lines[other] = lines[other], lines[row]
        else:
            place = draw(st.integers(0, len(lines[row])))
            new = draw(st.sampled_from(string.printable + "é\x00"))
            lines[row] = lines[row][:place] + new + lines[row][place + draw(st.integers(0, 1)) :]
    return "\n".join(lines)


@st.composite
def byte_strings(draw: st.DrawFn, original: bytes) -> bytes:
    """The original with one to three edits: changed bytes, a cut, a part left out or repeated, zeros."""
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        stop = min(len(content), start + draw(st.integers(1, 64)))
        edit = draw(st.sampled_from(["change", "header", "cut", "drop", "double", "zeros"]))
        if edit == "change" and content:
            content[start] = draw(st.integers(0, 255))
        elif edit == "header" and content:
            content[start % min(len(content), 64)] = draw(st.integers(0, 255))
        elif edit == "cut":
            del content[start:]
        elif edit == "drop":
            del content[start:stop]
        elif edit == "double":
            content[start:start] = content[start:stop]
        elif edit == "zeros":
            content[start:stop] = bytes(stop - start)
    return bytes(content)


@st.composite
def json_values(draw: st.DrawFn, original: Any) -> Any:
    """The original with one to three of its values, at any depth, replaced, renamed or left out."""
    value = original
    for _ in range(draw(st.integers(1, 3))):
        value = draw(_edited(value))
    return value


@st.composite
def _edited(draw: st.DrawFn, value: Any) -> Any:
    deeper = isinstance(value, dict | list) and value and draw(st.integers(0, 9)) > 0
    if not deeper:
        return draw(st.sampled_from(VALUES))
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 4)) == 0:
            return value[:place] + value[place + 1 :]
        return [*value[:place], draw(_edited(value[place])), *value[place + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    rest = {name: kept for name, kept in value.items() if name != key}
    edit = draw(st.integers(0, 9))
    if edit == 0:
        return rest
    if edit == 1:
        return rest | {key + "x": value[key]}
    return rest | {key: draw(_edited(value[key]))}


def arguments(options: tuple[str, ...], operands: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    """Lists of at most six arguments: options of a command, its operands, and words that are neither."""
    word = st.sampled_from((*operands, *WORDS, *map(str, range(-1, 3))))
    option = st.sampled_from(options)
    joined = st.builds("{}={}".format, option, word)
    return st.lists(st.one_of(option, word, joined), max_size=6)
