"""The code of docs/how-to/stability.md runs."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "stability.md"


def test_code_of_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    # What the page says of the logarithmic formula.
    field = names["SineField"]((32, 32), cutoff=3, rule="half")
    assert field.typical_displacement(field.temperature(1, exact=False)) == pytest.approx(0.84, abs=0.005)
