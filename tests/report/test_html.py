"""The HTML report is self-contained, escapes all text and is written atomically."""

import re
from html.parser import HTMLParser

import pytest

from symnets.report import Facts, Picture, Section, Table, html_report, parity
from tests.report.samples import predictions

VOID = {"meta", "img", "br"}


class Balance(HTMLParser):
    """Checks that every element that opens is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(tmp_path, *blocks) -> str:
    path = html_report(tmp_path / "out" / "report.html", "Ethanol", [Section("Errors", blocks)])
    return path.read_text(encoding="utf-8")


def test_page_is_well_formed_and_self_contained(tmp_path) -> None:
    table = Table(("quantity", "RMSE"), [("forces", "31.2"), ("energy", "4,000")], "in meV")
    text = page(tmp_path, "A line.", Facts({"Time": "4 min"}), table, Picture(parity(predictions()), "Fit"))
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert "data:image/png;base64," in text
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "http" not in text
    assert "<script" not in text


def test_everything_is_escaped(tmp_path) -> None:
    evil = '<script>alert("&")</script>'
    figure = parity(predictions())
    section = Section(evil, [evil, Facts({evil: evil}), Table([evil], [[evil]], evil), Picture(figure, evil)])
    text = html_report(tmp_path / "report.html", evil, [section], lead=evil).read_text(encoding="utf-8")
    assert "<script" not in text
    assert 'alert("' not in text
    assert text.count("&lt;script&gt;") == 12  # title, heading, lead, section: 4; blocks: 8


def test_columns_of_numbers_are_right_aligned(tmp_path) -> None:
    text = page(tmp_path, Table(("what", "RMSE"), [("forces", "31.2"), ("energy", "4,000")]))
    assert '<td>forces</td><td class="number">31.2</td>' in text


def test_page_has_a_dark_color_scheme(tmp_path) -> None:
    assert "prefers-color-scheme: dark" in page(tmp_path)


def test_table_refuses_ragged_rows(tmp_path) -> None:
    with pytest.raises(ValueError, match="rows of 2 cells"):
        page(tmp_path, Table(("a", "b"), [("1",)]))


def test_empty_table(tmp_path) -> None:
    assert "<tbody>" in page(tmp_path, Table(("a", "b"), []))
