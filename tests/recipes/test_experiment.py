"""The experiment on docs/recipes/experiment.md is run, swept and written up from its one file."""

import json
import re
import sys
from pathlib import Path

import pytest

from symnets.cli import main
from symnets.sweeps import Table, find

PAGE = Path(__file__).parents[2] / "docs" / "recipes" / "experiment.md"


def test_the_experiment_of_the_recipe_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    module, last = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "walk.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        assert main(["sweep", "walk", "--executor", "serial"]) == 0
        assert "Einstein" in capsys.readouterr().out
        assert main(["run", "walk", "--n_steps", "1000"]) == 0
        assert not hasattr(find("walk"), "batch_key")
    finally:
        sys.modules.pop("walk", None)
    folder = tmp_path / "results" / "walk-quick"
    assert len(Table.load(folder)) == 12
    (finding,) = json.loads((folder / "findings.json").read_text())["findings"]
    assert finding["agrees"]
    assert finding["error"] > 0
    assert (folder / "figure.svg").exists()
    names: dict[str, object] = {}
    exec(compile(last, str(PAGE), "exec"), names)
    assert len(names["positions"]) == 1000  # pyright: ignore[reportArgumentType]
