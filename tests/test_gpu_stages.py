"""The parts of benchmarks/gpu that need no GPU: shares of the time, packed images, conclusions."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

GPU = Path(__file__).parents[1] / "benchmarks" / "gpu"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Makes the scripts importable, as they are when one of them is run."""
    monkeypatch.syspath_prepend(str(GPU))
    yield
    for name in [name for name, module in sys.modules.items() if _of_scripts(module)]:
        del sys.modules[name]


def _of_scripts(module) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(GPU))


def test_epochs_share_out_the_time_as_the_root_of_the_cost():
    from stability import epochs_that_fit

    costs = [4.0, 1.0, 0.25]
    epochs = epochs_that_fit(costs, [1.0, 1.0, 1.0], 35.0, most=100.0)
    assert sum(cost * n for cost, n in zip(costs, epochs, strict=True)) == pytest.approx(35.0)
    assert epochs == pytest.approx([5.0, 10.0, 20.0])
    # Four times the worth, twice the epochs.
    assert epochs_that_fit([1.0, 1.0], [4.0, 1.0], 30.0, most=100.0) == pytest.approx([20.0, 10.0])


def test_epochs_stay_within_their_limits():
    from stability import epochs_that_fit

    assert epochs_that_fit([1.0, 0.01], [1.0, 1.0], 3.0, most=10.0) == pytest.approx([2.9, 10.0])
    assert epochs_that_fit([1.0, 0.01], [1.0, 1.0], -5.0, most=10.0, least=0.5) == pytest.approx([0.5, 0.5])
    assert epochs_that_fit([1.0], [1.0], 1000.0, most=10.0) == pytest.approx([10.0])


def test_the_published_law_is_recognised():
    from stability import verdict_on_law

    stable = (0.01, 0.04, 0.16, 0.64, 2.56)
    rows = [{"data": "cifar10", "verdict": "DONE", "R": r, "test_error": 0.2 * r**0.5} for r in stable]
    rows += [{"data": "cifar10", "verdict": "CUT", "R": 0.01, "test_error": 0.9}, {"failed": "out of luck"}]
    law = verdict_on_law(rows, "cifar10")
    assert law["nets"] == 5
    assert law["R_below_1"]["nets"] == 4
    assert law["all"]["exponent"] == pytest.approx(0.5)
    assert law["all"]["prefactor"] == pytest.approx(0.2)
    assert law["all"]["correlation_of_logs"] == pytest.approx(1.0)
    assert law["all"]["error_over_published_law"] == pytest.approx(1.0)
    assert "all" not in verdict_on_law(rows, "mnist")


def test_packed_images_have_the_pixels_of_their_files(tmp_path):
    from pack_images import pack, read_packed, unpack
    from PIL import Image

    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(12):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(file, "JPEG", quality=75)
        jpegs.append(file.getvalue())
    labels = np.arange(12) % 10
    part = pack(jpegs, labels)
    assert unpack(part) == jpegs
    path = tmp_path / "packed.npz"
    np.savez(path, **{f"train_{name}": value for name, value in part.items()})
    images = read_packed(path, "train", 5)
    assert images.labels.tolist() == [0, 1, 2, 3, 4]
    for pixels, jpeg in zip(images.pixels, jpegs, strict=False):
        np.testing.assert_array_equal(pixels.movedim(0, -1), np.asarray(Image.open(io.BytesIO(jpeg))))


def test_packing_refuses_files_with_different_headers():
    from pack_images import pack
    from PIL import Image

    jpegs = []
    for quality in (75, 95):
        file = io.BytesIO()
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file, "JPEG", quality=quality)
        jpegs.append(file.getvalue())
    with pytest.raises(ValueError, match="image 1 differs"):
        pack(jpegs, np.zeros(2))


def test_deeper_nets_have_their_published_numbers_of_layers():
    from fifteen_nets import NETS
    from torch import nn

    shape = (3, 32, 32)
    layers = {
        "vgg11": 9,
        "vgg16": 14,
        "vgg19": 17,
        "vgg19_bn": 17,
        "resnet18": 18,
        "resnet34": 34,
        "resnet50": 50,
    }
    # Of VGG two linear layers are left out. Shortcuts of residual nets are not counted.
    for name, expected in layers.items():
        net = NETS[name].build(shape, 1 / 16)
        found = [
            module
            for path, module in net.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in path
        ]
        assert len(found) == expected, name


def test_no_jump_is_claimed_without_both_of_its_sides():
    from jamming import summary

    def row(ratio, verdict, share):
        known = {"ratio": ratio, "verdict": verdict, "unsatisfied_per_weight": share}
        return known | {"steps_done": 9, "jammed_above": 0.1}

    sat, unsat, moving = row(2.0, "SAT", 0.0), row(3.5, "UNSAT", 0.8), row(2.5, "UNCONVERGED", 0.3)
    assert summary([unsat, moving])["verdict"].startswith("none")
    assert summary([sat, unsat, moving])["verdict"].startswith("of converged")
    whole = summary([sat, unsat])
    assert whole["verdict"] == "all members converged"
    assert (whole["largest_not_jammed"], whole["smallest_jammed"]) == (0.0, 0.8)
    assert whole["jammed_from_ratio"] == 3.5
