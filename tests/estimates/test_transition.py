"""Transition: the position at which half of the seeds are jammed, and its error."""

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import transition
from symnets.estimates._transition import crossing


def test_crossing_is_interpolated():
    assert crossing([1, 2, 3], [0, 0.25, 1]) == pytest.approx(2 + 0.25 / 0.75)


def test_several_crossings_give_their_midpoint():
    assert crossing([0, 1, 2, 3], [0, 1, 0, 1]) == pytest.approx((0.5 + 2.5) / 2)


@pytest.mark.parametrize("fraction", [[0, 0, 0.4], [0.6, 1, 1], [1, 0.5, 0]])
def test_without_a_crossing_the_position_is_nan(fraction):
    assert np.isnan(crossing([1, 2, 3], fraction))


def test_the_median_of_scattered_thresholds_is_recovered_with_its_error():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 41)
    thresholds = rng.normal(0.5, 0.1, size=100)
    table = pd.DataFrame([{"x": a, "seed": s, "jammed": a > t} for s, t in enumerate(thresholds) for a in x])
    estimate = transition(table, "x", table["jammed"])
    # The median of 100 thresholds of spread 0.1: error 0.1 sqrt(pi/2) / 10; a step of 1/40 over sqrt(12).
    assert estimate.error == pytest.approx(np.hypot(0.0125, 0.0072), rel=0.4)
    assert abs(estimate.value - 0.5) < 4 * estimate.error


def test_if_seeds_agree_the_error_is_that_of_the_spacing():
    rows = [{"x": x, "seed": s, "jammed": x > 1.5} for x in (1.0, 2.0, 4.0) for s in range(3)]
    table = pd.DataFrame(rows)
    estimate = transition(table, "x", table["jammed"])
    assert estimate.value == pytest.approx(1.5)
    assert estimate.error == pytest.approx(1 / 12**0.5)
