"""The code of docs/how-to/landscape_dynamics.md runs."""

import re
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "landscape_dynamics.md"


def test_code_of_the_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    before = torch.get_default_dtype()
    try:
        names: dict[str, object] = {"__name__": "page"}
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    finally:
        torch.set_default_dtype(before)
