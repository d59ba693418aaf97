"""Curves against size: complete seeds, N*, and errors by resampling seeds."""

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import Estimate, SizeCurves, geometric_mean, jamming_size, mean_over_seeds


def test_only_seeds_with_a_run_at_every_size_are_included() -> None:
    table = pd.DataFrame(
        {"n_weights": [20, 10, 20, 10, 20], "seed": [0, 0, 1, 2, 2], "y": [2.0, 1.0, 9.0, 3.0, 4.0]}
    )
    curves = SizeCurves.from_table(table, "y")
    assert curves.sizes.tolist() == [10, 20]
    assert curves.values["y"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert curves.mean("y").tolist() == [2.0, 3.0]
    assert curves.error("y") == pytest.approx([1.0, 1.0])  # deviation sqrt(2), two seeds
    apart = pd.DataFrame({"n_weights": [10, 20], "seed": [0, 1], "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="a seed with finite y at all of 2 sizes"):
        SizeCurves.from_table(apart, "y")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_seeds_with_a_diverged_run_are_left_out_and_counted(value: float) -> None:
    table = pd.DataFrame({"n_weights": [10, 20] * 3, "seed": [0, 0, 1, 1, 2, 2]})
    table["y"] = [1.0, 2.0, 3.0, value, 5.0, 6.0]
    curves = SizeCurves.from_table(table.assign(z=1.0), "z", "y")
    assert curves.values["y"].tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert curves.left_out == ", 1 of 3 seeds left out"
    assert SizeCurves.from_table(table, "seed").left_out == ""


def with_ratios(*ratios: float) -> SizeCurves:
    sizes = 10.0 ** np.arange(1, len(ratios) + 1)
    return SizeCurves(sizes, {"unsatisfied_per_weight": np.array([ratios] * 3)})


def test_jamming_is_where_the_ratio_falls_below_the_level_for_the_last_time() -> None:
    """From 0.2 at N = 100 to 0 at N = 1000 the level 0.1 is halfway on the logarithmic scale."""
    assert jamming_size(with_ratios(1.0, 0.2, 0.0)) == pytest.approx(100 * 10**0.5)
    assert jamming_size(with_ratios(0.0, 0.2, 0.0)) == pytest.approx(100 * 10**0.5)
    assert np.isnan(jamming_size(with_ratios(0.0, 0.0)))
    assert np.isnan(jamming_size(with_ratios(0.5, 0.4)))


def test_the_bootstrap_error_of_a_mean_is_the_standard_error() -> None:
    """Standard deviation over sqrt(n), known to 10 % from 500 resamples and 200 seeds."""
    values = np.random.default_rng(0).standard_normal((200, 1))
    curves = SizeCurves(np.array([1]), {"y": values})
    measured, error = curves.estimate(lambda c: float(c.mean("y")[0]))
    assert measured == values.mean()
    assert error == pytest.approx(200**-0.5, rel=0.15)


def test_an_undefined_statistic_has_no_error() -> None:
    assert with_ratios(0.5, 0.4).estimate(jamming_size)[1] is None
    assert SizeCurves(np.array([1]), {"y": np.ones((1, 1))}).estimate(lambda c: 1.0) == (1.0, None)


def test_means_over_seeds_have_the_standard_error_of_the_mean() -> None:
    """Standard deviation of 1, 2, 3 is 1; NaN is left out; a geometric mean has the relative error."""
    assert mean_over_seeds([1.0, 2.0, 3.0, np.nan]) == pytest.approx((2.0, 3**-0.5))
    assert mean_over_seeds([1.0, np.e**2, -1.0], geometric=True) == pytest.approx((np.e, np.e))
    assert mean_over_seeds([5.0]) == Estimate(5.0, None)
    assert np.isnan(mean_over_seeds([]).value)


@pytest.mark.parametrize("geometric", [False, True])
def test_infinite_values_have_no_part_in_means(geometric: bool) -> None:
    finite = mean_over_seeds([2.0, 8.0], geometric=geometric)
    assert mean_over_seeds([2.0, np.inf, 8.0, -np.inf], geometric=geometric) == finite
    assert np.isnan(mean_over_seeds([np.inf], geometric=geometric).value)


def test_a_geometric_mean_of_curves_is_undefined_where_one_is_infinite_or_not_positive() -> None:
    curves = [np.array([2.0, np.inf, 1.0]), np.array([8.0, 1.0, 0.0])]
    np.testing.assert_allclose(geometric_mean(curves), [4.0, np.nan, np.nan])


def test_estimates_are_written_with_two_digits_of_their_error() -> None:
    assert [str(Estimate(0.50312, 0.0123)), str(-Estimate(2.0)), str(Estimate(7.0, 0.5))] == [
        "0.5031 ± 0.012",
        "-2",
        "7 ± 0.5",
    ]
