"""The example that trains a harmonic network and a plain one upright, and tests them rotated."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import scripts


@pytest.fixture(scope="module")
def example():
    """The script, without running it."""
    return scripts.example("rotated_mnist")


def test_turned_images_are_those_of_quarter_turns(example):
    images = torch.rand(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = example.turned(images, torch.tensor([90.0, 180.0, 270.0], dtype=torch.float64))
    for quarters in (1, 2, 3):
        expected = images[quarters - 1].rot90(quarters, (1, 2))
        torch.testing.assert_close(found[quarters - 1], expected, rtol=0, atol=1e-10)


def test_confusions_of_6_and_9_do_not_count_when_merged(example):
    """Four of six wrong; a 6 for a 9 and a 9 for a 6 are right when merged."""
    labels = torch.tensor([6, 9, 9, 3, 6, 1])
    logits = torch.full((6, 10), -5.0)
    logits[range(6), torch.tensor([6, 6, 0, 3, 9, 7])] = 5.0
    assert example.classification_errors(logits, labels) == pytest.approx((4 / 6, 2 / 6))


def test_merged_logits_add_probabilities(example):
    """p(6) = p(9) = 0.3 and p(1) = 0.4: apart it is a 1, merged a 6."""
    logits = torch.full((1, 10), -math.inf)
    logits[0, [6, 9, 1]] = torch.tensor([0.3, 0.3, 0.4]).log()
    assert example.classification_errors(logits, torch.tensor([6])) == (1.0, 0.0)


def test_both_nets_have_about_as_many_weights(example):
    width = example.equal_width((1, 28, 28), 0.6)
    ours, theirs = (
        sum(p.numel() for p in example.image_net(name, (1, 28, 28), width=w).parameters())
        for name, w in (("harmonic", 0.6), ("vgg_bn", width))
    )
    assert theirs == pytest.approx(ours, rel=0.1)


@pytest.mark.slow
def test_the_example_trains_and_tests_both_nets(example, tmp_path: Path, capsys: pytest.CaptureFixture):
    short = replace(
        example.Example(), output=tmp_path, data="digits", seconds=0.2, width=0.25, n_train=320, n_test=60
    )
    short.run()
    result = json.loads((tmp_path / "results.json").read_text())
    assert (tmp_path / "errors.png").stat().st_size > 1000
    assert "harmonic network" in capsys.readouterr().out
    harmonic, plain = (result["nets"][name] for name in ("harmonic", "vgg_bn"))
    assert harmonic["change_of_logits_by_quarter_turn"] < 1e-4  # float32
    assert plain["change_of_logits_by_quarter_turn"] > 0.1
    at = dict(zip(result["angles"], harmonic["by_angle"], strict=True))
    assert at[90] == at[0] == at[180]
