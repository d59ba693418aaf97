"""`symnets models`, and names of published models in place of a model file."""

import json
from dataclasses import replace

import ase.io
import pooch
import pytest

from symnets.cli import main
from symnets.downloads import Published
from symnets.models import FOUNDATION_MODELS, describe, load
from tests.cli.models import label, saved_model, water, written
from tests.models.small_nequix import small_file


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> str:
    """Name of a small published model of hydrogen and oxygen, whose file is in the folder SYMNETS_DATA."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYMNETS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "data" / "nequix" / "nequix-tiny.nqx"
    path.parent.mkdir(parents=True)
    small_file(path)
    published = Published("http://127.0.0.1:1/nequix-tiny.nqx", pooch.file_hash(str(path)))
    model = replace(FOUNDATION_MODELS["nequix-mp-1"], name="nequix-tiny", species=(1, 8), published=published)
    monkeypatch.setitem(FOUNDATION_MODELS, "nequix-tiny", model)
    return "nequix-tiny"


def test_the_table_has_one_line_for_each_model(tiny, capsys) -> None:
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, model in FOUNDATION_MODELS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert model.training_set in line
        assert model.license in line
        assert line.split()[-1] == ("yes" if name == tiny else "no")


def test_one_model_is_shown_in_full(tiny, capsys) -> None:
    assert main(["models", "nequix-oam-1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for expected in (
        "89: H He Li",
        "OMat24",
        "PBE+U",
        "MIT",
        "arXiv:2601.07742",
        "downloaded",
        "6a43475eaeb32a7a",
    ):
        assert expected in shown
    assert main(["models", tiny, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["species"] == ["H", "O"]
    assert content["cached"].endswith("data/nequix/nequix-tiny.nqx")
    assert len(content["sha256"]) == 64
    assert main(["models", "--json"]) == 0
    assert [model["name"] for model in json.loads(capsys.readouterr().out)] == list(FOUNDATION_MODELS)


def test_an_unknown_name_is_an_error_of_one_line(capsys) -> None:
    assert main(["models", "nequix-oam"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: unknown foundation model 'nequix-oam'; did you mean 'nequix-oam-1'?")
    assert shown.count("\n") == 1
    assert main(["info", "nequix-oam"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: nequix-oam: there is no such file, and no published model of this name;")
    assert shown.count("\n") == 1


def test_commands_take_the_name_of_a_published_model(tiny, tmp_path, capsys) -> None:
    assert main(["info", tiny]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for expected in ("Nequix", "H O", "training set │ MPtrj", "license │ MIT"):
        assert expected in shown

    assert main(["compile", tiny, "--tolerance", "1"]) == 0
    assert type(load("nequix-tiny-compiled.safetensors")).__name__ == "Compiled"
    assert describe("nequix-tiny-compiled.safetensors")["extra"]["foundation_model"]["name"] == tiny

    assert main(["relax", tiny, "H2O", "--steps", "1"]) == 1  # not converged in one step
    assert len(ase.io.read("relaxed.xyz")) == 3
    assert main(["md", "nequix-tiny-compiled.safetensors", "H2O", "--steps", "2"]) == 0

    data = written(tmp_path / "water.xyz", label(water(2), saved_model(tmp_path / "model.safetensors")))
    assert main(["evaluate", tiny, str(data)]) == 0
    assert json.loads((tmp_path / "evaluation/water/errors.json").read_text())["model"] == tiny
