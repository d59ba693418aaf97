"""Configurations: what is right is read, what is wrong is named."""

from dataclasses import dataclass, replace
from typing import Annotated

import pytest

from symnets.config import (
    OutOfRange,
    annotated_ranges,
    at_least,
    check_annotated,
    check_values,
    parse_config,
    read_config,
    write_config,
)
from symnets.experiments import compressed_kernel
from symnets.potentials import ModelConfig, OptimizerConfig, TrainConfig

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
    assert "unknown key 'model.chanels'; did you mean 'channels'?" in wrong(model={"chanels": 3})
    assert "unknown key 'model.parity'" in wrong(model={"architecture": "Invariant", "parity": True})
    assert "unknown architecture 'Nequip'; did you mean 'NequIP'?" in wrong(model={"architecture": "Nequip"})
    assert "unknown architecture 'mace'; did you mean 'MACE'?" in wrong(model={"architecture": "mace"})


def test_features_that_no_product_has_are_out_of_range():
    message = wrong(model={"architecture": "MACE", "lmax": 1, "correlation": 2, "feature_lmax": 3})
    assert "model.feature_lmax: expected at most correlation * lmax" in message
    assert "2, got 3" in message


def test_wrong_type_names_the_field_and_what_came():
    message = wrong(seed="seven")
    assert "seed" in message
    assert "expected a whole number, got the text 'seven'" in message
    assert "model.channels: expected a whole number" in wrong(model={"channels": "many"})
    assert "optimizer.decay" in wrong(optimizer={"decay": "sine"})


def test_missing_key_is_named():
    with pytest.raises(ValueError, match="data: expected a value, but the key is missing"):
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
    "seed": (-1, "0 to 4294967295"),
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


def test_none_is_valid_only_where_the_type_includes_it():
    OptimizerConfig(average=None, clip_norm=None)
    with pytest.raises(OutOfRange, match=r"^optimizer\.epochs: expected at least 1, got None$"):
        OptimizerConfig(epochs=None)  # pyright: ignore[reportArgumentType]
    compressed_kernel.Config(compression=None)
    with pytest.raises(OutOfRange, match=r"^n_test: expected at least 1, got None$"):
        compressed_kernel.Config(n_test=None)  # pyright: ignore[reportArgumentType]

    def net(width: Annotated[int, at_least(1)], skip: Annotated[int | None, at_least(1)] = None) -> None: ...

    check_values("net", {"width": 1, "skip": None}, annotated_ranges(net), net)
    with pytest.raises(OutOfRange, match=r"^net\.width: expected at least 1, got None$"):
        check_values("net", {"width": None, "skip": 1}, annotated_ranges(net), net)


def test_an_import_path_that_leads_nowhere_is_named_once():
    for path, reason in (
        ("no.such:Net", "there is no module 'no.such'"),
        ("math:Net", "math has no 'Net'"),
        ("math:sin", "expected a torch.nn.Module"),
    ):
        message = wrong(model={"architecture": path})
        assert message.startswith(f"configuration: model.architecture: {path}: {reason}")
    assert "model.architecture: expected a name such as NequIP, got 5" in wrong(model={"architecture": 5})
    assert "model: expected options such as {architecture: NequIP}, got 'MACE'" in wrong(model="MACE")


def test_all_values_at_fault_are_named_in_full():
    message = wrong(model={"radial_hidden": [8, "x"]}, optimizer={"epochs": "x"}, seed=-1)
    assert message == (
        "configuration: model.radial_hidden.1: expected a whole number, got the text 'x'; "
        "optimizer.epochs: expected a whole number, got the text 'x'"
    )
    assert wrong(output="x", seed=2.5, dtype=64) == (
        "configuration: seed: expected a whole number, got 2.5; "
        "dtype: expected 'float32' or 'float64', got 64"
    )


@dataclass(frozen=True)
class Several:
    """Values of one of several types."""

    shift: float | tuple[float, ...] = 0.0
    layers: int | str | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_annotated("", self)


def test_a_value_of_none_of_several_types_is_named_once():
    for values, expected in (
        ({"shift": "x"}, "shift: expected a number or a list, got the text 'x'"),
        ({"shift": [1, "x"]}, "shift.1: expected a number, got the text 'x'"),
        ({"layers": 2.0}, "layers: expected a whole number or text, got 2.0; write 2"),
        ({"scale": float("nan")}, "scale: expected a finite number, got nan"),
        ({"shift": [1.0, float("inf")]}, "shift: expected a finite number, got [1.0, inf]"),
    ):
        with pytest.raises(ValueError, match="configuration: ") as caught:
            parse_config(Several, values)
        assert str(caught.value) == f"configuration: {expected}"
    assert parse_config(Several, {"shift": [1, 2.5], "layers": "all"}) == Several((1.0, 2.5), "all")


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"learning_rate": "1_000"}, "learning_rate: expected a number, got the text '1_000'; write 1000"),
        ({"learning_rate": "1e-3"}, "learning_rate: expected a number, got the text '1e-3'; write 0.001"),
        ({"epochs": 1e3}, "epochs: expected a whole number, got 1000.0; write 1000"),
        ({"epochs": True}, "epochs: expected a whole number, got true"),
        ({"amsgrad": "yes"}, "amsgrad: expected true or false, got the text 'yes'; write true"),
        ({"amsgrad": "off"}, "amsgrad: expected true or false, got the text 'off'; write false"),
        ({"amsgrad": 1}, "amsgrad: expected true or false, got 1"),
        ({"average": "none"}, "average: expected a number, got the text 'none'; write null, without quotes"),
        ({"method": 3}, "method: expected 'Adam' or 'Muon', got 3"),
    ],
)
def test_text_in_place_of_a_number_or_boolean_is_answered_with_what_to_write(values, advice):
    assert wrong(optimizer=values) == f"configuration: optimizer.{advice}"


def test_a_number_in_place_of_text_is_answered_with_quotes():
    assert wrong(output=2024) == "configuration: output: expected text, got 2024; put it in quotes"


def test_text_that_looks_like_a_number_is_written_in_quotes(tmp_path):
    for output in ("1e-3", "0o17", "1_000", "yes", "null", "007", ".5", "12:30", "~", "größe", "2024-01-01"):
        config = replace(parse_config(TrainConfig, GOOD), output=output)
        write_config(config, tmp_path / "c.yaml")
        assert read_config(TrainConfig, tmp_path / "c.yaml") == config
