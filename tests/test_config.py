"""Configurations: what is right is read, what is wrong is named."""

from dataclasses import replace

import pytest

from symnets.config import parse_config, read_config, write_config
from symnets.potentials import ModelConfig, TrainConfig

GOOD = {"data": {"train": "a.xyz"}, "output": "runs/x"}


def wrong(**values):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every test looks at the message
        parse_config(TrainConfig, GOOD | values)
    return str(caught.value)


def test_defaults_fill_what_is_left_out():
    config = parse_config(TrainConfig, GOOD)
    assert config.model == ModelConfig("NequIP")
    assert config.data.n_validation == 50


def test_written_configuration_reads_back_equal(tmp_path):
    config = replace(parse_config(TrainConfig, GOOD), model=ModelConfig("Invariant", radial_hidden=(16, 8)))
    write_config(config, tmp_path / "c.yaml")
    assert read_config(TrainConfig, tmp_path / "c.yaml") == config


def test_whole_numbers_and_lists_are_taken_where_yaml_writes_them():
    config = parse_config(
        TrainConfig, GOOD | {"model": {"cutoff": 5, "radial_hidden": [8]}, "optimizer": {"learning_rate": 1}}
    )
    assert config.model.radial_hidden == (8,)


def test_example_files_are_valid():
    from pathlib import Path

    files = list((Path(__file__).parents[1] / "examples").glob("*.yaml"))
    assert files
    for file in files:
        read_config(TrainConfig, file)


def test_unknown_key_names_the_nearest():
    assert "unknown key 'sed'; did you mean 'seed'?" in wrong(sed=1)
    assert "model: unknown key 'chanels'; did you mean 'channels'?" in wrong(model={"chanels": 3})
    assert "unknown key 'parity'" in wrong(model={"architecture": "Invariant", "parity": True})
    assert "unknown architecture 'Nequip'; did you mean 'NequIP'?" in wrong(model={"architecture": "Nequip"})
    assert "unknown architecture 'mace'; did you mean 'MACE'?" in wrong(model={"architecture": "mace"})


def test_features_that_no_product_has_are_out_of_range():
    message = wrong(model={"architecture": "MACE", "lmax": 1, "correlation": 2, "feature_lmax": 3})
    assert "model.feature_lmax: expected at most correlation * lmax" in message
    assert "2, got 3" in message


def test_wrong_type_names_the_field_and_what_came():
    message = wrong(seed="seven")
    assert "seed" in message
    assert "valid integer" in message
    assert "'seven'" in message
    assert "model.channels: Input should be a valid integer" in wrong(model={"channels": "many"})
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


RANGES = {
    "data.n_train": (0, "at least 1"),
    "data.n_validation": (0, "at least 1"),
    "model.cutoff": (-1.0, "more than 0"),
    "model.lmax": (7, "0 to 6"),
    "model.channels": (0, "at least 1"),
    "model.layers": (0, "at least 1"),
    "model.n_basis": (0, "at least 1"),
    "model.radial_hidden": ([64, 0], "at least 1"),
    "loss.energy": (-1.0, "at least 0"),
    "loss.forces": (float("nan"), "at least 0"),
    "loss.huber": (0.0, "more than 0"),
    "optimizer.epochs": (0, "at least 1"),
    "optimizer.batch_size": (0, "at least 1"),
    "optimizer.learning_rate": (float("inf"), "more than 0"),
    "optimizer.final": (1.5, "more than 0 and at most 1"),
    "optimizer.warmup": (-1, "at least 0"),
    "optimizer.average": (1.0, "more than 0 and less than 1"),
    "optimizer.clip_norm": (0.0, "more than 0"),
    "seed": (-1, "at least 0"),
    "threads": (0, "at least 1"),
    "max_minutes": (0.0, "more than 0"),
    "patience": (0, "at least 1"),
    "validate_every": (0, "at least 1"),
    "checkpoint_every": (0, "at least 1"),
}


@pytest.mark.parametrize("name", RANGES)
def test_value_out_of_range_is_named_with_its_range(name):
    value, expected = RANGES[name]
    *section, field = name.split(".")
    values = {section[0]: GOOD.get(section[0], {}) | {field: value}} if section else {field: value}
    assert wrong(**values) == f"configuration: {name}: expected {expected}, got {value}"


def test_some_error_must_have_weight():
    assert "loss: expected a weight above 0" in wrong(loss={"energy": 0, "forces": 0})


def test_ends_of_ranges_that_are_allowed():
    parse_config(TrainConfig, GOOD | {"optimizer": {"final": 1.0, "average": None}, "model": {"lmax": 0}})
