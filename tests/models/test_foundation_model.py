"""foundation_model: published names, paths, and the files and names that are refused."""

import pickle
from dataclasses import replace

import pooch
import pytest
import torch
from ase import Atoms

from symnets.downloads import Published, cache
from symnets.models import (
    FOUNDATION_MODELS,
    FoundationModel,
    Nequix,
    describe,
    foundation_file,
    foundation_model,
    image_net,
    load,
    save,
)
from symnets.simulate import SymnetsCalculator
from tests.cli.models import saved_model
from tests.models.small_nequix import small_file


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> FoundationModel:
    """The published model "nequix-tiny" of hydrogen and oxygen, at an address where there is no server.

    Its file is in the user's cache.
    """
    monkeypatch.delenv("SYMNETS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    path = cache() / "nequix" / "nequix-tiny.nqx"
    path.parent.mkdir(parents=True)
    small_file(path)
    published = Published("http://127.0.0.1:1/nequix-tiny.nqx", pooch.file_hash(str(path)))
    model = replace(FOUNDATION_MODELS["nequix-mp-1"], name="nequix-tiny", published=published)
    monkeypatch.setitem(FOUNDATION_MODELS, "nequix-tiny", model)
    return model


def test_a_name_a_file_of_nequix_and_a_symnets_file_give_the_same_force_field(tiny, tmp_path) -> None:
    by_name = foundation_model("nequix-tiny")
    by_path = foundation_model(tiny.cached, dtype=torch.float64)
    save(by_name, tmp_path / "model.safetensors")
    saved = foundation_model(tmp_path / "model.safetensors")
    assert isinstance(by_name.energy_model, Nequix)
    assert not by_name.training
    assert next(by_path.parameters()).dtype == torch.float64
    for other in (by_path.float(), saved, load("nequix-tiny")):
        for name, weight in by_name.state_dict().items():
            assert torch.equal(other.state_dict()[name], weight), name


def test_a_symnets_file_keeps_its_dtype(tmp_path) -> None:
    path = saved_model(tmp_path / "model.safetensors")  # float64
    assert next(foundation_model(path).parameters()).dtype == torch.float64
    assert next(foundation_model(path, dtype=torch.float32).parameters()).dtype == torch.float32


def test_the_header_of_a_published_model_says_where_it_comes_from(tiny) -> None:
    header = describe("nequix-tiny")
    assert header["recipe"]["class"] == "ForceField"
    assert header["extra"]["foundation_model"] == {
        "name": "nequix-tiny",
        "training_set": "MPtrj",
        "theory": "PBE+U",
        "license": "MIT",
        "citation": "Koker et al. 2025, arXiv:2508.16067",
    }
    assert describe(tiny.cached)["extra"] == {}


def test_the_calculator_takes_a_name_and_names_elements_that_the_model_lacks(tiny) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0, 0.6, 0.8]], calculator=SymnetsCalculator("nequix-tiny"))
    assert atoms.get_forces().shape == (2, 3)
    atoms.symbols[1] = "N"
    with pytest.raises(ValueError, match=r"the model was trained on H, O, not on N \(atom 1\)"):
        atoms.get_forces()


def test_a_file_in_the_folder_of_data_is_used_before_one_in_the_cache(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SYMNETS_DATA", str(tmp_path))
    assert foundation_file("nequix-tiny") == tiny.places()[-1]
    (tmp_path / "nequix").mkdir()
    tiny.cached.rename(tmp_path / "nequix" / "nequix-tiny.nqx")
    assert foundation_file("nequix-tiny") == tmp_path / "nequix" / "nequix-tiny.nqx" == tiny.cached


def test_an_altered_published_file_is_refused_by_its_checksum(tiny, tmp_path, monkeypatch) -> None:
    content = bytearray(tiny.cached.read_bytes())
    content[-1] ^= 1  # a weight differs; the file is well formed
    folder = tmp_path / "nequix"
    folder.mkdir()
    (folder / "nequix-tiny.nqx").write_bytes(content)
    monkeypatch.setenv("SYMNETS_DATA", str(tmp_path))
    with pytest.raises(
        ValueError, match=f"expected the published file with the sha256 {tiny.published.sha256}"
    ):
        foundation_model("nequix-tiny")
    assert isinstance(foundation_model(folder / "nequix-tiny.nqx").energy_model, Nequix)  # a path: your own


@pytest.mark.parametrize("altered", [False, True])
def test_without_network_the_message_names_the_file_to_put_there(tiny, altered) -> None:
    if altered:
        tiny.cached.write_bytes(b"{}\n")
    else:
        tiny.cached.unlink()
    with pytest.raises(
        OSError, match=r"put the file as nequix-tiny\.nqx into the folder nequix of the folder"
    ):
        foundation_model("nequix-tiny")


def test_a_model_of_mace_that_is_not_yet_converted_says_how_and_where_to(tiny, monkeypatch) -> None:
    address = "https://example.org/medium.model"
    model = replace(tiny, name="mace-tiny", family="mace", published=None, source=address)
    monkeypatch.setitem(FOUNDATION_MODELS, "mace-tiny", model)
    with pytest.raises(
        FileNotFoundError, match=rf"Download {address}.*from_mace.*mace-tiny\.safetensors"
    ) as info:
        foundation_model("mace-tiny")
    assert str(model.places()[-1]) in str(info.value)
    model.places()[-1].parent.mkdir()
    saved_model(model.places()[-1])
    assert foundation_model("mace-tiny").species == (1, 8)


@pytest.mark.parametrize(
    "name", ["weights.pt", "weights.pth", "mace.model", "old.pkl", "pickle.nqx", "plain"]
)
def test_a_pickle_is_refused_and_the_message_says_how_to_convert_it(tmp_path, name) -> None:
    path = tmp_path / name
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"weights": [1.0]}))
    elif path.suffix == ".pth":  # torch's format before 1.6
        torch.save({"weights": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"weights": torch.zeros(3)}, path)
    for read in (foundation_model, load, describe, SymnetsCalculator):
        with pytest.raises(ValueError, match=r"a pickle, which .*from_mace\(.*from_sevennet\("):
            read(path)


def test_a_symnets_file_may_have_any_suffix(tmp_path) -> None:
    for size in range(16):  # the first byte of the file, the length of the header, is that of pickles for one
        path = saved_model(tmp_path / "model.pt", scale=[1.0, float("1." + "1" * size)] if size else 1.0)
        assert foundation_model(path).species == (1, 8)


def test_other_models_and_unknown_names_are_refused(tmp_path) -> None:
    save(image_net("fc2", (1, 4, 4), width=0.1), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="expected a model of class ForceField, got an image net"):
        foundation_model(tmp_path / "net.safetensors")
    with pytest.raises(FileNotFoundError, match="did you mean 'nequix-oam-1'"):
        foundation_model("nequix-oam-2")
    with pytest.raises(FileNotFoundError, match="no such file"):
        foundation_model(tmp_path / "none.nqx")


@pytest.mark.parametrize(
    "content", [b"", b"[1]\n", b"{'a': 1}\n", b'{"cutoff": 6.0}\n', b"\x93NUMPY", b"\xff\n"]
)
def test_a_file_that_is_not_of_nequix_is_refused(tmp_path, content) -> None:
    (tmp_path / "bad.nqx").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.nqx"):
        foundation_model(tmp_path / "bad.nqx")


def test_all_known_models_are_described_in_full() -> None:
    for name, model in FOUNDATION_MODELS.items():
        assert model.name == name
        assert model.species == tuple(sorted(set(model.species)))
        texts = (model.training_set, model.theory, model.license, model.citation, model.family)
        assert all(texts)
        assert model.n_weights > 0 < model.megabytes
        assert (model.obtained == "downloaded") == (model.published is not None) == (not model.source)
