"""Where half of the seeds are jammed."""

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import transition
from symnets.estimates._transition import crossing


def test_crossing_is_interpolated():
    assert crossing([1, 2, 3], [0, 0.25, 1]) == pytest.approx(2 + 0.25 / 0.75)


def test_several_crossings_give_their_middle():
    assert crossing([0, 1, 2, 3], [0, 1, 0, 1]) == pytest.approx((0.5 + 2.5) / 2)


@pytest.mark.parametrize("fraction", [[0, 0, 0.4], [0.6, 1, 1], [1, 0.5, 0]])
def test_no_crossing_within_is_nan(fraction):
    assert np.isnan(crossing([1, 2, 3], fraction))


def test_sharp_thresholds_scattered_over_seeds_are_found_with_their_error():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 41)
    thresholds = rng.normal(0.5, 0.1, size=100)
    table = pd.DataFrame([{"x": a, "seed": s, "jammed": a > t} for s, t in enumerate(thresholds) for a in x])
    found = transition(table, "x", table["jammed"])
    # The median of 100 thresholds of spread 0.1: error 0.1 sqrt(pi/2) / 10; a step of 1/40 over sqrt(12).
    assert found.error == pytest.approx(np.hypot(0.0125, 0.0072), rel=0.4)
    assert abs(found.value - 0.5) < 4 * found.error


def test_seeds_that_agree_leave_the_doubt_of_a_step():
    rows = [{"x": x, "seed": s, "jammed": x > 1.5} for x in (1.0, 2.0, 4.0) for s in range(3)]
    table = pd.DataFrame(rows)
    found = transition(table, "x", table["jammed"])
    assert found.value == pytest.approx(1.5)
    assert found.error == pytest.approx(1 / 12**0.5)
