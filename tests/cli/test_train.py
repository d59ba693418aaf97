"""`symnets train`: the configuration file, options that replace its values, errors of one line."""

import pytest

from symnets.cli import main
from symnets.cli._train import Train

TEXT = "output: runs/mine\ndata: {train: mine.xyz, n_train: 7}\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TEXT)
    (tmp_path / "plain").write_text(TEXT)
    (tmp_path / "frames.xyz").write_text("not a configuration")
    return tmp_path


def error_line(capsys, *arguments):
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    "line",
    [
        "mine.yaml --resume --seed 3",
        "--resume mine.yaml --seed 3",
        "--seed 3 --resume mine.yaml",
        "--seed=3 --resume plain",
        "--resume plain --seed 3",
        "plain --seed 3 --resume",
    ],
)
def test_configuration_file_at_any_position(here, line):
    command = Train.parse(line.split())
    assert command.resume
    assert command.settings.seed == 3
    assert command.settings.data.n_train == 7
    assert command.file.name in ("mine.yaml", "plain")


def test_value_of_an_option_is_not_the_configuration_file(here, capsys):
    assert "name a configuration file first" in error_line(capsys, "--data.train", "frames.xyz")
    command = Train.parse(["--data.train", "frames.xyz", "mine.yaml"])
    assert command.settings.data.train == "frames.xyz"


def test_without_a_file_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    printed = capsys.readouterr().out
    assert "{model" not in printed
    assert "(default: mine.xyz)" in " ".join(printed.replace("│", " ").split())
    for option in ("--model.channels", "--optimizer.learning-rate", "--model.parity"):
        assert option in printed
    with pytest.raises(SystemExit):
        main(["train", "--help", "--model.architecture", "Invariant"])
    assert "--model.parity" not in capsys.readouterr().out


def test_help_with_a_file_shows_its_values(here, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help", "mine.yaml"])
    assert "(default: 7)" in capsys.readouterr().out


def test_missing_configuration_file_is_an_error(here, capsys):
    assert "name a configuration file first, such as `symnets train mine.yaml`" in error_line(capsys)
    assert "name a configuration file first" in error_line(capsys, "--resume")
    assert "there is no such configuration file" in error_line(capsys, "other.yaml")


def test_values_out_of_range_in_file_and_options(here, capsys):
    (here / "bad.yaml").write_text(TEXT + "optimizer: {epochs: 0}\n")
    wrong = "optimizer.epochs: expected at least 1, got 0"
    assert error_line(capsys, "bad.yaml") == f"bad.yaml: {wrong}"
    assert error_line(capsys, "mine.yaml", "--optimizer.epochs", "0") == wrong
    assert error_line(capsys, "mine.yaml", "--model.cutoff", "-1") == (
        "model.cutoff: expected more than 0, got -1.0"
    )
    assert error_line(capsys, "mine.yaml", "--seed", "-1") == ("seed: expected 0 to 4294967295, got -1")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--model.parity false", False), ("--model.parity=TRUE", True), ("--model.no-parity", False)],
)
def test_booleans_of_the_model_are_flags_or_have_a_value(here, option, value):
    command = Train.parse(["mine.yaml", *option.split(), "--optimizer.amsgrad", "true", "--resume"])
    assert command.settings.model.parity is value
    assert command.settings.optimizer.amsgrad
    assert command.resume


def test_wrong_values_of_the_model_are_named(here, capsys):
    assert error_line(capsys, "mine.yaml", "--model.parity", "off") == (
        "--model.parity: expected true or false, got off"
    )
    assert "error parsing --model.channels: " in error_line(capsys, "mine.yaml", "--model.channels", "x")
    assert error_line(capsys, "mine.yaml", "--model.architecture", "no.such:Net") == (
        "architecture: no.such:Net: there is no module 'no.such' here or among the installed ones"
    )
    (here / "wrong.yaml").write_text(TEXT + "model: {architecture: 'no.such:Net'}\n")
    assert error_line(capsys, "wrong.yaml") == (
        "wrong.yaml: model.architecture: no.such:Net: there is no module 'no.such' here or among the "
        "installed ones"
    )


def test_unusable_device_is_an_error_of_one_line(here, capsys):
    assert error_line(capsys, "mine.yaml", "--device", "foo").startswith("device: expected one that torch")
