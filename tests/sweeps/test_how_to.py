"""The experiment that docs/how-to/experiments.md shows does what the page says."""

import re
import sys
from pathlib import Path

from symnets.cli import main
from symnets.sweeps import Table

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "experiments.md"


def test_the_experiment_of_the_page_runs(tmp_path, monkeypatch, capsys):
    example, last = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[1:]
    (tmp_path / "walk.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        assert main(["sweep", "walk", "--executor", "serial"]) == 0
        assert "Einstein" in capsys.readouterr().out
        assert main(["run", "walk", "--n_steps", "1000"]) == 0
    finally:
        sys.modules.pop("walk", None)
    assert len(Table.load("results/walk-quick")) == 12
    assert (tmp_path / "results" / "walk-quick" / "figure.svg").exists()
    names: dict[str, object] = {}
    exec(compile(last, str(PAGE), "exec"), names)
    assert len(names["ends"]) == 1000  # pyright: ignore[reportArgumentType]
