"""Files of force fields: saved models are read back bit for bit, damaged files are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from symnets.data import from_ase
from symnets.models import MACE, ForceField, Invariant, NequIP, WithZBL, describe, load, save

SMALL = {"cutoff": 3.0, "channels": 4, "layers": 2, "radial_hidden": (8,), "lmax": 1}


def water():
    from ase.build import molecule

    return molecule("H2O")


@pytest.fixture(params=["NequIP", "MACE", "Invariant", "WithZBL"])
def force_field(request):
    torch.manual_seed(0)
    energy = {"NequIP": NequIP, "MACE": MACE, "Invariant": Invariant, "WithZBL": NequIP}[request.param]
    model = energy(["H", "O"], **SMALL, shift=[-13.6, -2037.79686941], scale=2.0)
    return ForceField(WithZBL(model) if request.param == "WithZBL" else model).eval()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save(ForceField(NequIP(["H", "O"], **SMALL)), path)
    return path


def test_what_is_saved_predicts_the_same_bit_for_bit(force_field, tmp_path):
    path = tmp_path / "sub" / "model.safetensors"
    save(force_field, path, extra={"note": "a test"})
    again = load(path)
    graph = from_ase(water(), 3.0)
    for ours, theirs in zip(again(graph), force_field(graph), strict=True):
        assert ours is theirs is None or torch.equal(ours, theirs)
    assert describe(path)["extra"] == {"note": "a test"}
    assert again.species == (1, 8)
    assert not again.training
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_float64_on_loading_agrees_with_float32(force_field, tmp_path):
    save(force_field, tmp_path / "m")
    exact = load(tmp_path / "m", dtype=torch.float64)
    single = force_field(from_ase(water(), 3.0))
    double = exact(from_ase(water(), 3.0, dtype=torch.float64))
    assert double.forces.dtype == torch.float64
    torch.testing.assert_close(single.forces.double(), double.forces, rtol=1e-4, atol=1e-5)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="no such file"):
        load("nowhere.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_file_cut_short(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[:keep])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(saved)


def test_altered_weight(saved):
    data = bytearray(saved.read_bytes())
    data[-3] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="checksum does not match"):
        load(saved)


def test_altered_description(saved):
    data = saved.read_bytes()
    saved.write_bytes(data.replace(b'cutoff\\": 3.0', b'cutoff\\": 4.0'))
    assert saved.read_bytes() != data
    with pytest.raises(ValueError, match="checksum does not match"):
        load(saved)


def test_file_of_another_program(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="another program"):
        load(tmp_path / "other.safetensors")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="a pickle, which symnets never reads"):
        load(tmp_path / "model.pt")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes()[:12])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(tmp_path / "cut.safetensors")


def test_file_that_asks_for_unknown_code(saved, tmp_path):
    from symnets.data import read_archive, write_archive

    tensors, header = read_archive(saved, "model")
    header["recipe"]["class"] = "os.system"
    write_archive(tmp_path / "evil", "model", tensors, header)
    with pytest.raises(
        ValueError, match=r"asks for the model 'os.system'; this symnets knows \[.*'Compiled', .*'ForceField'"
    ):
        load(tmp_path / "evil")


def test_weights_that_do_not_fit(saved, tmp_path):
    from symnets.data import read_archive, write_archive

    tensors, header = read_archive(saved, "model")
    tensors.pop(sorted(tensors)[0])
    write_archive(tmp_path / "short", "model", tensors, header)
    with pytest.raises(ValueError, match="weights do not fit"):
        load(tmp_path / "short")


def test_header_is_readable_json(saved):
    header = describe(saved)
    assert json.loads(json.dumps(header)) == header
    assert header["recipe"]["arguments"]["energy_model"]["arguments"]["lmax"] == 1
    assert any("interactions" in name for name in load_file(saved))


def test_foreign_module_is_not_saved(tmp_path):
    class Mine(nn.Module):
        species, cutoff = (1,), 3.0

    with pytest.raises(ValueError, match="got Mine; save its state_dict yourself"):
        save(ForceField(Mine()), tmp_path / "m")


class Mine(NequIP):
    """A class of a user's own."""


def test_own_class_is_saved_and_loaded_when_it_is_passed(tmp_path):
    path, model = tmp_path / "mine.safetensors", ForceField(Mine(["H", "O"], **SMALL)).eval()
    save(model, path)
    with pytest.raises(ValueError, match=r"asks for the model 'Mine'.*pass it, load\(path, classes"):
        load(path)
    again = load(path, ForceField, classes=[Mine])
    graph = from_ase(water(), 3.0)
    assert torch.equal(again(graph).forces, model(graph).forces)


def test_own_class_of_a_name_of_symnets_is_refused(saved, tmp_path):
    impostor = type("NequIP", (NequIP,), {})
    with pytest.raises(ValueError, match="symnets has a class NequIP of its own; rename yours"):
        save(ForceField(impostor(["H", "O"], **SMALL)), tmp_path / "impostor")
    with pytest.raises(ValueError, match="symnets has a class NequIP of its own; rename yours"):
        load(saved, classes=[impostor])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_device_that_cannot_be_used_is_named(saved):
    with pytest.raises(ValueError, match=r"device: expected one that torch .* can use .* got 'cuda'"):
        load(saved, device="cuda")


def test_energy_models_are_saved_as_force_fields(tmp_path):
    with pytest.raises(ValueError, match=r"got NequIP; wrap an energy model, ForceField\(model\)"):
        save(NequIP(["H"], **SMALL), tmp_path / "m")
