"""Files of nets on point clouds: outputs are equal bit for bit; `symnets info` shows classes and points."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from symnets.cli import main
from symnets.data import collate, point_cloud, tetris
from symnets.models import (
    EGNN,
    CloudClassifier,
    ForceField,
    OnClouds,
    PlainPointNet,
    TensorFieldNetwork,
    load,
    save,
)

NETWORK: dict[str, Any] = {"cutoff": 1.1, "channels": 4, "layers": 2, "mean_neighbors": 3.0}


def classifier() -> CloudClassifier:
    network = TensorFieldNetwork(
        ("H",), lmax=1, radial_hidden=(4,), irreps_last="4x0e+2x0o", **NETWORK | {"layers": 3}
    )
    return CloudClassifier(network, 8, mirror_images=[(0, 1)])


NETS: dict[str, Callable[[], nn.Module]] = {
    "CloudClassifier": classifier,
    "PlainPointNet": lambda: PlainPointNet(8, kinds=2, channels=6),
    "OnClouds": lambda: OnClouds(
        CloudClassifier(EGNN((1, 2), **NETWORK), 3), 1.1, kinds=torch.tensor([0, 1, 0, 0])
    ),
}


def outputs(net: nn.Module, dtype: torch.dtype) -> torch.Tensor:
    shapes = [positions.to(dtype) for positions in tetris().values()]
    if isinstance(net, OnClouds):
        return net(torch.stack(shapes)).detach()
    return net(collate([point_cloud(shape, 1.1) for shape in shapes]).inputs).detach()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_saved_has_the_same_outputs_bit_for_bit(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = NETS[name]().to(dtype)
    save(net, tmp_path / "net.safetensors", extra={"seed": 0})
    again = load(tmp_path / "net.safetensors", type(net))
    assert not again.training
    found, expected = outputs(again, dtype), outputs(net, dtype)
    assert expected.std(0).min() > 0  # they depend on the cloud
    assert torch.equal(found, expected)


def test_cloud_nets_are_not_taken_for_force_fields(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save(PlainPointNet(2), path)
    message = "expected a model of class ForceField, got a cloud net, PlainPointNet"
    with pytest.raises(ValueError, match=message):
        load(path, ForceField)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CloudClassifier", ["CloudClassifier of TensorFieldNetwork", "n_classes 8", "mirror_images [0, 1]"]),
        ("PlainPointNet", ["channels 6, kinds 2, n_classes 8", "seed"]),
        ("OnClouds", ["OnClouds of CloudClassifier of EGNN", "of kind 0 1, or of the elements H He", "1.1"]),
    ],
)
def test_info_shows_classes_and_points(
    name: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "net.safetensors"
    save(NETS[name](), path, extra={"seed": 3})
    assert main(["info", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [words for words in expected if words not in text] == []
    assert main(["info", str(path), "--json"]) == 0
    held: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert held["n_parameters"] == sum(p.numel() for p in load(path).parameters())
    assert main(["md", str(path), "H2", "--steps", "1"]) != 0
    assert "got a cloud net" in capsys.readouterr().err
