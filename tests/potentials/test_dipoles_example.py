"""The example that learns dipoles of molecules, with few molecules and steps."""

import json
from pathlib import Path

import pytest

from tests import scripts


@pytest.mark.slow
def test_the_example_compares_both_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("tblite")
    module = scripts.example("dipoles")
    monkeypatch.setattr(module, "TURNS", 1)
    full = module.configuration

    def short(options, files, kind):
        config = full(options, files, kind)
        return module.dataclasses.replace(config, validate_every=1)

    monkeypatch.setattr(module, "configuration", short)
    options = module.Options(tmp_path / "run", minutes=0.02, displaced=1, results=tmp_path / "dipoles.json")
    rows = module.main(options)
    assert set(rows) == set(module.KINDS)
    assert all(row["rotation, float64"] < 1e-11 for row in rows.values())
    assert json.loads((tmp_path / "dipoles.json").read_text("utf-8"))["unit"] == "e·Å"
    assert (tmp_path / "run" / "dipoles.png").exists()
    assert "charges alone" in capsys.readouterr().out
