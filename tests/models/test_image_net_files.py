"""Files of image nets: saved nets are read back bit for bit, other files are refused."""

import pytest
import torch

from symnets.data import read_archive, write_archive
from symnets.models import (
    IMAGE_NETS,
    VGG,
    ForceField,
    NequIP,
    describe,
    image_net,
    load,
    save,
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.safetensors"
    save(image_net("vgg_bn", (1, 8, 8), width=0.25), path)
    return path


@pytest.mark.parametrize("name", IMAGE_NETS)
def test_saved_nets_give_the_same_bits(name, tmp_path):
    net = image_net(name, (1, 8, 8), 3, width=0.25)
    x = torch.randn(5, 1, 8, 8)
    net.train()(x)  # moves running averages
    path = tmp_path / "sub" / "net.safetensors"
    save(net, path, extra={"data": "digits", "mean": [0.3], "deviation": [0.4]})
    before = torch.get_rng_state()
    again = load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not again.training
    assert torch.equal(again(x), net.eval()(x))
    assert all(torch.equal(a, b) for a, b in zip(again.buffers(), net.buffers(), strict=True))
    assert again.config == net.config
    assert describe(path)["extra"]["data"] == "digits"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_dtype_is_as_saved_unless_given(tmp_path):
    save(image_net("resnet", (1, 8, 8), width=0.5).double(), tmp_path / "net")
    x = torch.randn(2, 1, 8, 8)
    exact, single = load(tmp_path / "net"), load(tmp_path / "net", dtype=torch.float32)
    torch.testing.assert_close(exact(x.double()).float(), single(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("keep", [0, 300, -1])
def test_file_cut_short(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load(saved)


def test_altered_weight(saved):
    data = bytearray(saved.read_bytes())
    data[-3] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ValueError, match="checksum does not match"):
        load(saved)


def test_force_fields_and_image_nets_are_not_taken_for_each_other(saved, tmp_path):
    with pytest.raises(ValueError, match="of class ForceField, got an image net, VGG"):
        load(saved, ForceField)
    force_field = ForceField(NequIP(["H"], channels=2, layers=1, lmax=0, radial_hidden=(4,)))
    save(force_field, tmp_path / "model")
    with pytest.raises(ValueError, match="of class VGG, got a force field, ForceField"):
        load(tmp_path / "model", VGG)
    with pytest.raises(
        ValueError,
        match=r"expected a ForceField, a TensorModel, a CloudClassifier or an image net, got NequIP; wrap",
    ):
        save(force_field.energy_model, tmp_path / "other")


def test_file_that_asks_for_another_class(saved, tmp_path):
    tensors, header = read_archive(saved, "image net")
    header["recipe"]["class"] = "NequIP"
    write_archive(tmp_path / "other", "image net", tensors, header)
    with pytest.raises(ValueError, match=r"asks for the model 'NequIP'; this symnets knows \['AlexNet'"):
        load(tmp_path / "other")


def test_weights_that_do_not_fit(saved, tmp_path):
    tensors, header = read_archive(saved, "image net")
    tensors.pop("readout.bias")
    write_archive(tmp_path / "short", "image net", tensors, header)
    with pytest.raises(ValueError, match="weights do not fit"):
        load(tmp_path / "short")


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="model or image net file, but there is no such file"):
        load("nowhere.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": None},
        {"recipe": {"class": "VGG"}},
        {"recipe": {"class": "VGG", "arguments": [1]}},
        {"dtype": ["float32"]},
        {"dtype": None},
    ],
    ids=str,
)
def test_header_that_describes_no_model(saved, change):
    tensors, header = read_archive(saved, "image net")
    write_archive(saved, "image net", tensors, header | change)
    with pytest.raises(ValueError, match=r"header does not describe|names and values|expected a dtype"):
        load(saved)
