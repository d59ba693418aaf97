"""D, G and R against T: findings on arrays of known laws, and a tiny net on digits."""

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import stability_in_temperature
from symnets.experiments.stability_in_temperature import Config, fields_with_range

TINY = Config(
    net="lenet",
    data="digits",
    n_train=60,
    n_test=50,
    min_steps=4,
    max_steps=4,
    cutoff=2.0,
    delta=0.5,
    n_images=20,
    n_draws=1,
    n_temperatures=4,
)


def table_of(n_seeds: int = 2) -> pd.DataFrame:
    lines = [{"net": "vgg", "data": "mnist", "verdict": "FITTED", "seed": k} for k in range(n_seeds)]
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(n_seeds)])


def arrays_of(power: float):
    """D = T and G = T^(1 - power), so that R = T^power, between T1/15 and 2 T2 = 200 T1."""

    def arrays(name: str) -> dict[str, np.ndarray]:
        t = np.geomspace(1e-4, 0.3, 30)[None]
        curves = np.stack([t, t ** (1 - power), t**power])
        return {
            "cutoffs": np.array([3.0]),
            "range": np.array([[1.5e-3, 0.15]]),
            "temperature": t,
            "folds": np.clip(t, 0, 1),
            "start": curves,
            "end": curves,
        }

    return arrays


def test_linear_response_and_a_constant_ratio_agree():
    results = stability_in_temperature.findings(table_of(), arrays_of(0.0))
    assert [f.measured.value for f in results] == pytest.approx([1.0, 1.0])
    assert all(f.agrees for f in results)


def test_a_ratio_that_varies_does_not_agree():
    """R = T^(1/2) over two decades of T."""
    *_, results = stability_in_temperature.findings(table_of(), arrays_of(0.5))
    assert results.measured.value == pytest.approx(10, rel=0.3)  # the ends lie between points of the grid
    assert not results.agrees


def test_the_figure_has_all_four():
    made = stability_in_temperature.figure(table_of(), arrays_of(0.5))
    assert made.axes[3].get_ylabel() == "fraction that folds"
    made.canvas.draw()


def test_cutoffs_without_a_range_are_left_out():
    """c = 15 has no range below 24 pixels; at 8 pixels even the range of c = 5 is almost empty."""
    assert [field.cutoff for field in fields_with_range(Config())] == [3.0, 5.0, 15.0]
    assert [field.cutoff for field in fields_with_range(TINY)] == [3.0, 5.0]


def test_a_run_covers_the_range():
    (result,) = stability_in_temperature.run([TINY])
    ends, t = result.arrays["range"], result.arrays["temperature"]
    assert t.shape == (2, 4)
    np.testing.assert_allclose(t[:, 0], ends[:, 0] / 15)
    np.testing.assert_allclose(t[:, -1], 2 * ends[:, 1])
    folds = result.arrays["folds"]
    assert folds[0, 0] == 0
    assert (np.diff(folds, axis=1) >= 0).all()
    d, g, r = result.arrays["end"]
    np.testing.assert_allclose(r, d / g)
    assert (np.diff(d, axis=1) > 0).all()  # logits change more at a higher temperature
