"""The examples learn from the real data they name, where it is at hand."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from symnets.config import read_config
from symnets.potentials import ModelConfig, TrainConfig, train

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {"channels": 8, "layers": 2, "lmax": 1, "radial_hidden": (16,)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "architecture"), [("acac", "NequIP"), ("germanium", "Invariant"), ("germanium", "MACE")]
)
def test_a_short_run_of_an_example_lowers_its_errors(name, architecture, tmp_path):
    config = read_config(TrainConfig, EXAMPLES / f"{name}.yaml")
    folder = os.environ.get("SYMNETS_DATA")
    if folder is None or not (Path(folder) / config.data.train).exists():
        pytest.skip(f"real data: {config.data.train} is not in SYMNETS_DATA ({folder})")
    short = replace(
        config,
        data=replace(config.data, n_train=40, n_validation=10),
        model=ModelConfig(architecture, cutoff=4.0, **SMALL),
        optimizer=replace(config.optimizer, epochs=40, batch_size=5),
        validate_every=16,
        output=str(tmp_path / "run"),
    )
    rows = train(short, progress=False).history.rows
    assert rows[-1]["validation/forces_rmse"] < 0.8 * rows[0]["validation/forces_rmse"]
    if config.loss.stress:
        assert rows[-1]["validation/stress_rmse"] < rows[0]["validation/stress_rmse"]
