"""The example that classifies solids, run on a few small ones."""

import json

import pytest

from tests import scripts


@pytest.mark.slow
def test_the_example_writes_errors_and_a_picture(tmp_path):
    module = scripts.example("solids")
    module.Example(tmp_path, seconds=0.1, size=9, n_train=28, n_test=14).run()
    nets = json.loads((tmp_path / "results.json").read_text())["nets"]
    assert set(nets) == {"steerable", "plain", "plain, augmented"}
    assert nets["steerable"]["error"]["quarter turn"] == nets["steerable"]["error"]["upright"]
    assert (tmp_path / "solids.png").stat().st_size > 0
