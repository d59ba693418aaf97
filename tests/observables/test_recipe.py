"""The observable of docs/recipes/observable.md: one file, used on its own and in a training."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "observable.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file of the page as an importable module."""
    (tmp_path / "confidence.py").write_text(BLOCKS[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("confidence")
    sys.modules.pop("confidence")


def test_the_page_runs_on_its_own_and_in_a_trainer(module, capsys: pytest.CaptureFixture) -> None:
    assert len(BLOCKS) == 3
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS[1:]:
        exec(compile(block, str(PAGE), "exec"), names)
    last = names["history"].rows[-1]
    measured = module.confidence(names["net"], names["inputs"])
    assert last["confidence/value"] == measured.value
    assert last["confidence/n"] == 60
    assert "±" in capsys.readouterr().out


def test_equal_logits_have_confidence_one_over_classes(module) -> None:
    net = nn.Linear(2, 4).double()
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    measured = module.confidence(net, torch.randn(5, 2, dtype=torch.float64))
    assert measured == module.Confidence(0.25, 0.0, 5)


def test_the_file_is_short_and_the_model_is_left_as_found(module) -> None:
    code = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(code) <= 40
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout()).train()
    before = torch.get_rng_state()
    module.confidence(net, torch.ones(4, 2))
    assert net.training
    assert net[1].training
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="at least two examples, got 1"):
        module.confidence(net, torch.ones(1, 2))
