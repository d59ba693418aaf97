"""A net that reads digits minds deformations, and minds them less if it learned from deformed digits."""

import pytest
import torch

from symnets.experiments import deformed_digits as module
from symnets.experiments.deformed_digits import deformed_digits
from symnets.report.demo_page import _deformed


@pytest.fixture(scope="module")
def study():
    before, steps = torch.get_rng_state(), module.STEPS
    module.STEPS = 100  # of 300
    found = deformed_digits(seed=0)
    module.STEPS = steps
    assert torch.equal(torch.get_rng_state(), before)
    return found


def test_both_trainings_read_most_digits(study) -> None:
    start, plain, taught = (net.error.error for net in study.nets)
    assert start > 0.8
    assert plain < 0.1
    assert taught < 0.3


def test_deformed_digits_teach_relative_stability(study) -> None:
    start, plain, taught = (net.stability for net in study.nets)
    assert start.batch_norm == "batch"
    assert 0.5 < start.R.value[-1] < 2  # of order one
    assert taught.R.high[-1] < plain.R.low[-1]
    assert all(
        len(found.layers) == 1 and found.delta == pytest.approx(0.5) for found in (start, plain, taught)
    )


def test_statistics_are_alike_where_it_says_so(study) -> None:
    start, *trained = study.nets
    assert start.alike == start.stability
    for net in trained:
        assert net.stability.batch_norm == "running"
        assert net.alike.batch_norm == "batch"
        assert net.alike.R.value[-1] != net.stability.R.value[-1]


def test_the_page_tells_the_three(study) -> None:
    told = _deformed(study).html()
    for name in ("before training", "after training on deformed digits"):
        assert name in told
    assert told.count("data:image/png;base64,") == 1
    for net in study.nets:
        assert f"{net.stability.R.value[-1]:.3f}" in told
        assert f"{net.alike.R.value[-1]:.3f}" in told
