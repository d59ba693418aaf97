"""The example that trains a spherical CNN and a plain one upright, and tests them rotated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import scripts


@pytest.mark.slow
def test_the_example_trains_and_tests_both_nets(tmp_path: Path, capsys: pytest.CaptureFixture):
    module = scripts.example("spherical_mnist")
    options = {"data": "digits", "resolution": 12, "lmax": (3, 2), "channels": (4, 4), "epochs": 1}
    replace(module.Example(), output=tmp_path, n_train=96, n_test=40, **options).run()
    result = json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "errors.png").stat().st_size > 1000
    assert "spherical CNN" in capsys.readouterr().out
    assert result["nets"]["spherical"]["change_of_logits"] < 0.3 < result["nets"]["plain"]["change_of_logits"]
