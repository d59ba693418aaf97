"""Formulas in the text of reports."""

import re
from base64 import b64decode
from pathlib import Path

import pytest

from symnets.report import Section, html_report


def page(tmp_path: Path, text: str) -> str:
    return html_report(tmp_path / "page.html", "Title", [Section("Heading", [text])]).read_text("utf-8")


def test_a_formula_is_an_svg_picture_with_its_source_as_alternative_text(tmp_path: Path) -> None:
    text = page(tmp_path, r"The norm $|f| = \langle f^2" + "\n" + r"\rangle^{1/2}$ is large.")
    assert r'alt="|f| = \langle f^2 \rangle^{1/2}"' in text
    (picture,) = re.findall(r"image/svg\+xml;base64,([^\"]+)", text)
    assert b"<svg" in b64decode(picture)
    assert re.search(r"<p>The norm <img .*> is large\.</p>", text)


def test_text_around_and_inside_formulas_is_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, r"<b> $a < b$ $\text{<i>}$ & $x$")
    assert "&lt;b&gt;" in text
    assert 'alt="a &lt; b"' in text
    assert not re.search(r"<b>|<i>", text)


@pytest.mark.parametrize("text", ["from $5 to $6", r"$\unknown{a}$", "$ a $", "$x_{$"])
def test_what_is_no_formula_stays_as_it_is(tmp_path: Path, text: str) -> None:
    assert f"<p>{text}</p>" in page(tmp_path, text)
