"""Stability of the demo's digit classifier before training, and trained with and without deformed images."""

import pytest
import torch

from symnets.demo import _digits as module
from symnets.demo import digit_stability
from symnets.demo._page import digits_section

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study():
    """The study with 100 steps of training instead of 300."""
    before, steps = torch.get_rng_state(), module.STEPS
    module.STEPS = 100
    result = digit_stability(seed=0)
    module.STEPS = steps
    assert torch.equal(torch.get_rng_state(), before)
    return result


def test_trained_nets_classify_most_digits(study) -> None:
    initial, plain, deformed = (net.error.error for net in study.nets)
    assert initial > 0.8
    assert plain < 0.1
    assert deformed < 0.3


def test_relative_stability_with_initial_weights_is_of_order_one(study) -> None:
    stability = study.nets[0].batch_statistics
    assert len(stability.layers) == 1
    assert stability.delta == pytest.approx(0.5)
    assert 0.5 < stability.R.value[-1] < 2


def test_training_on_deformed_digits_lowers_relative_stability(study) -> None:
    _, plain, deformed = (net.running_statistics for net in study.nets)
    assert deformed.R.high[-1] < plain.R.low[-1]
    assert all(len(net.layers) == 1 and net.delta == pytest.approx(0.5) for net in (plain, deformed))


def test_batch_statistics_are_used_in_all_nets(study) -> None:
    initial, *trained = study.nets
    assert all(net.batch_statistics.batch_norm == "batch" for net in study.nets)
    assert initial.running_statistics is None
    for net in trained:
        assert net.running_statistics.batch_norm == "running"
        assert net.batch_statistics.R.value[-1] != net.running_statistics.R.value[-1]


def test_page_shows_the_three_nets(study) -> None:
    page = digits_section(study).html()
    for name in ("with initial weights", "trained on digits", "trained on deformed digits"):
        assert name in page
    assert page.count("data:image/png;base64,") == 1
    for net in study.nets:
        assert f"{net.batch_statistics.R.value[-1]:.3f}" in page
    for net in study.nets[1:]:
        assert f"{net.running_statistics.R.value[-1]:.3f}" in page
