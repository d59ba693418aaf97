"""Averages over packings: thresholds of known distributions, and averages of known laws."""

import numpy as np
import pytest

from symnets.setups import average_packings, jamming_threshold


def test_the_threshold_is_the_mean_of_the_thresholds_of_packings() -> None:
    """Each seed jams above its own phi_J: the estimate is their mean up to the spacing of the grid."""
    rng = np.random.default_rng(0)
    own = 0.84 + 0.004 * rng.standard_normal(2000)
    phi = np.linspace(0.80, 0.88, 41)
    threshold = jamming_threshold(np.tile(phi, (2000, 1)).ravel(), (phi > own[:, None]).ravel())
    assert threshold is not None
    assert threshold.value == pytest.approx(own.mean(), abs=2e-5)
    # One seed gives correlated verdicts; the formula takes them for independent, as is usual, and comes
    # out smaller by a factor of order one.
    assert threshold.error is not None
    assert 0.3 < threshold.error / (own.std() / np.sqrt(2000)) < 1.1


def test_a_threshold_outside_the_grid_is_none() -> None:
    assert jamming_threshold([0.1, 0.2, 0.3], [False, False, False]) is None
    assert jamming_threshold([0.1, 0.2, 0.3], [True, True, True]) is None
    assert jamming_threshold([0.1, 0.2], [False, True]) is None
    with pytest.raises(ValueError, match="equally spaced"):
        jamming_threshold([0.1, 0.2, 0.4], [False, False, True])


def test_packings_of_known_laws_are_interpolated_to_common_distances() -> None:
    """Decompressions that end at different distances from different phi_J and follow one law."""
    n, packings, own = 512, [], [0.840, 0.843, 0.847]
    for k, at in enumerate(own):
        x = np.geomspace(0.06, 1e-5 * (k + 1), 40)
        packings.append(
            {
                "phi": at + x,
                "energy": 0.2 * x**2,
                "pressure": 0.3 * x,
                "n_contacts": 999 + 250 * 3.6 * np.log10(x / 1e-5),
                "n_effective": np.full(40, 999),
                "n_rattlers": np.full(40, 12),
            }
        )
    c = average_packings(packings, own, n_spheres=n)
    assert c is not None
    assert (c.excess[0], c.excess[-1]) == pytest.approx((100 / 512**2, 0.03))
    assert c.energy == pytest.approx(np.tile(0.2 * c.excess**2, (3, 1)), rel=1e-6)
    assert c.pressure == pytest.approx(np.tile(0.3 * c.excess, (3, 1)), rel=1e-6)
    assert c.coordination == pytest.approx(np.tile(3.6 * np.log10(c.excess / 1e-5), (3, 1)), rel=1e-6)
    assert c.at_jamming[0] == pytest.approx(1.0)


def test_states_before_a_jump_to_another_packing_are_left_out() -> None:
    """Before its last jump a packing had phi below and just above its final phi_J."""
    x = np.geomspace(0.06, 1e-5, 40)
    phi = 0.84 + x
    phi[30:33] = 0.84 + np.array([-1e-4, 1e-6, 5e-6])
    ones = np.ones(40)
    p = {"phi": phi, "energy": 0.2 * x**2, "pressure": 0.3 * x, "n_contacts": 999 * ones}
    p |= {"n_effective": 999 * ones, "n_rattlers": 0 * ones}
    c = average_packings([p] * 3, [0.84] * 3, n_spheres=2000)
    assert c is not None
    assert c.pressure[0] == pytest.approx(0.3 * c.excess, rel=1e-6)


def test_too_few_packings_have_no_averages() -> None:
    assert average_packings([], [], n_spheres=64) is None
