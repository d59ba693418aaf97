"""`symnets info` tells what a model file holds, and refuses what is none."""

import json
from pathlib import Path

import pytest

from symnets.cli import main
from symnets.models import (
    ForceField,
    Invariant,
    WithZBL,
    image_net,
    load,
    save,
)
from tests.cli.models import saved_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved_model(tmp_path / "model.safetensors", cutoff=3.5)


def test_json_holds_all_there_is_to_know(model: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(model), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["architecture"] == "Invariant"
    assert held["wrappers"] == ["ForceField"]
    assert held["species"] == ["H", "O"]
    assert held["cutoff"] == 3.5
    assert held["dtype"] == "float64"
    assert held["n_parameters"] == sum(p.numel() for p in load(model).parameters())
    assert held["arguments"]["channels"] == 4
    assert held["extra"]["training"]["output"] == "runs/water"
    assert {"symnets", "torch"} <= set(held["versions"])


def test_table_shows_errors_and_training(model: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(model)]) == 0
    text = capsys.readouterr().out
    for expected in (
        "Invariant",
        "H O",
        "3.5 Å",
        "float64",
        "1,200",
        "1.20 meV/atom",
        "34.5 meV/Å",
        "runs/water",
    ):
        assert expected in text


def test_model_without_training_notes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "bare.safetensors"
    save(load(saved_model(tmp_path / "model.safetensors")), path)
    assert main(["info", str(path)]) == 0
    assert "trained with" not in capsys.readouterr().out


def test_wrapped_architecture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    energy_model = Invariant(("H",), lmax=0, channels=2, layers=1, radial_hidden=(4,), mean_neighbors=1.0)
    save(ForceField(WithZBL(energy_model)), tmp_path / "zbl.safetensors")
    assert main(["info", str(tmp_path / "zbl.safetensors")]) == 0
    assert "ForceField of WithZBL of Invariant" in capsys.readouterr().out


@pytest.fixture
def vgg(tmp_path: Path) -> Path:
    path = tmp_path / "vgg.safetensors"
    extra = {"data": "mnist", "mean": [0.25], "deviation": [0.5]}
    save(image_net("vgg_bn", (1, 28, 28), width=0.125), path, extra=extra)
    return path


def test_image_net_tells_its_images(vgg: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(vgg)]) == 0
    text = capsys.readouterr().out
    for expected in ("VGG", "1 x 28 x 28", "float32", "width 0.125", "data", "mnist", "deviation", "0.5"):
        assert expected in text
    assert main(["info", str(vgg), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["images"] == [1, 28, 28]
    assert held["extra"] == {"data": "mnist", "mean": [0.25], "deviation": [0.5]}
    assert held["n_parameters"] == sum(p.numel() for p in load(vgg).parameters())
    assert "species" not in held


def test_cut_image_net_is_refused(vgg: Path, capsys: pytest.CaptureFixture) -> None:
    whole = vgg.read_bytes()
    for content, told in ((whole[:-100], "cut short"), (whole[:-1] + bytes([whole[-1] ^ 1]), "altered")):
        vgg.write_bytes(content)
        assert main(["info", str(vgg)]) == 2
        assert told in capsys.readouterr().err


def test_cut_file_is_refused(model: Path, capsys: pytest.CaptureFixture) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    assert main(["info", str(model)]) == 2
    assert "cut short" in capsys.readouterr().err


def test_altered_file_is_refused(model: Path, capsys: pytest.CaptureFixture) -> None:
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert main(["info", str(model)]) == 2
    assert "altered" in capsys.readouterr().err


def test_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["info", str(tmp_path / "none.safetensors")]) == 2
    assert "no such file" in capsys.readouterr().err
