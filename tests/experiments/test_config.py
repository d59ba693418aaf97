"""Configurations: what is right is read, what is wrong is named."""

from dataclasses import replace

import pytest

from symnets.experiments.config import parse_config, read_config, write_config
from symnets.experiments.potential_config import InvariantConfig, NequIPConfig, TrainConfig

GOOD = {"data": {"train": "a.xyz"}, "output": "runs/x"}


def wrong(**values):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every test looks at the message
        parse_config(TrainConfig, GOOD | values)
    return str(caught.value)


def test_defaults_fill_what_is_left_out():
    config = parse_config(TrainConfig, GOOD)
    assert config.model == NequIPConfig()
    assert config.data.n_validation == 50


def test_written_configuration_reads_back_equal(tmp_path):
    config = replace(parse_config(TrainConfig, GOOD), model=InvariantConfig(radial_hidden=(16, 8)))
    write_config(config, tmp_path / "c.yaml")
    assert read_config(TrainConfig, tmp_path / "c.yaml") == config


def test_whole_numbers_and_lists_are_taken_where_yaml_writes_them():
    config = parse_config(
        TrainConfig, GOOD | {"model": {"cutoff": 5, "radial_hidden": [8]}, "optimizer": {"learning_rate": 1}}
    )
    assert config.model.radial_hidden == (8,)


def test_example_files_are_valid():
    from pathlib import Path

    files = list((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    assert files
    for file in files:
        read_config(TrainConfig, file)


def test_unknown_key_names_the_nearest():
    assert "unknown key 'sed'; did you mean 'seed'?" in wrong(sed=1)
    assert "model: unknown key 'chanels'; did you mean 'channels'?" in wrong(model={"chanels": 3})
    assert "unknown key 'parity'" in wrong(model={"architecture": "Invariant", "parity": True})
    assert "unknown architecture 'Nequip'; did you mean 'NequIP'?" in wrong(model={"architecture": "Nequip"})


def test_wrong_type_names_the_field_and_what_came():
    message = wrong(seed="seven")
    assert "seed" in message
    assert "valid integer" in message
    assert "'seven'" in message
    assert "model.NequIPConfig.channels" in wrong(model={"channels": "many"})
    assert "optimizer.decay" in wrong(optimizer={"decay": "sine"})


def test_missing_key_is_named():
    with pytest.raises(ValueError, match="data: Field required"):
        parse_config(TrainConfig, {"output": "x"})


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_file_that_is_no_mapping(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match="expected `key: value` lines"):
        read_config(TrainConfig, tmp_path / "c.yaml")


def test_file_that_is_no_yaml(tmp_path):
    (tmp_path / "c.yaml").write_text("a: [1, 2")
    with pytest.raises(ValueError, match="not a YAML file"):
        read_config(TrainConfig, tmp_path / "c.yaml")
    with pytest.raises(FileNotFoundError, match="no such configuration"):
        read_config(TrainConfig, tmp_path / "none.yaml")


def test_yaml_never_runs_code(tmp_path):
    (tmp_path / "c.yaml").write_text("output: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match="not a YAML file"):
        read_config(TrainConfig, tmp_path / "c.yaml")
