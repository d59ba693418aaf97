"""The example of the eight shapes of tetris: rotations, and the three cases of chirality."""

import json
import math
from pathlib import Path

import pytest
import torch

from tests import scripts


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """The script as a module, with small networks."""
    module = scripts.example("tetris")
    monkeypatch.setattr(module, "TENSORS", module.TENSORS | {"channels": 8, "radial_hidden": (8,)})
    monkeypatch.setattr(module, "WITH_0O", module.TENSORS | {"parity": True, "irreps_last": "8x0e+8x0o"})
    return module


@pytest.mark.slow
def test_networks_recognise_rotated_shapes_as_far_as_their_symmetry_allows(
    example, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [entry for entry in example.ENTRIES if entry.name in ("TensorFieldNetwork", "PlainPointNet")]
    monkeypatch.setattr(example, "ENTRIES", chosen)
    results = example.Example(output=tmp_path, steps=120, rotations=5).run()
    assert torch.get_default_dtype() == torch.float32
    found = {(r.name, r.symmetry, r.outputs): r for r in results}
    so3 = found["TensorFieldNetwork", "SO(3)", "0e"]
    pseudoscalar = found["TensorFieldNetwork", "O(3)", "0e + 0o"]
    even = found["TensorFieldNetwork", "O(3)", "0e"]
    plain = found["PlainPointNet", "none", "numbers"]
    for r in (so3, pseudoscalar):
        assert r.upright == r.rotated == 1
        assert r.chiral > 0.01
    for r in (so3, pseudoscalar, even):
        assert r.rotation_error < 1e-10
    assert even.upright == 7 / 8
    assert even.chiral < 1e-12
    assert even.loss >= 2 * math.log(2) / 8 - 1e-12
    assert plain.upright == 1
    assert plain.rotated < 0.8
    printed = capsys.readouterr().out
    assert "0e + 0o" in printed
    assert "PlainPointNet" in printed
    assert len(json.loads((tmp_path / "results.json").read_text())["networks"]) == 4
    assert (tmp_path / "tetris.png").exists()


def test_rotated_shapes_are_the_shapes(example) -> None:
    batch = example.turned(3)
    assert batch.targets.tolist() == list(range(8))
    shapes = example.tetris()
    for label, points in enumerate(shapes.values()):
        own = batch.inputs.pos[batch.inputs.owner == label]
        torch.testing.assert_close(torch.pdist(own), torch.pdist(points), rtol=0, atol=1e-12)
        assert not torch.allclose(own - own.mean(0), points - points.mean(0), atol=1e-3)
        # handed as before: the volume of three edges keeps its sign
        volumes = [torch.linalg.det(p[1:] - p[0]) for p in (own, points)]
        torch.testing.assert_close(*volumes, rtol=0, atol=1e-12)
