"""Ensembles: averages, variances and exponents of known outputs, and tiny nets on digits."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import ensemble_average
from symnets.experiments.ensemble_average import Config, Ensembles, ensembles

SIZES = np.array([50, 100, 1000, 2000, 4000, 8000])


def fluctuating(
    exponent: float, n_nets: int = 20
) -> tuple[pd.DataFrame, dict[str, Mapping[str, np.ndarray]]]:
    """f(x) = y a(x) + N^(exponent/2) noise, with a from -0.2 to 1: the mean net is wrong on a sixth."""
    rng = np.random.default_rng(0)
    targets = np.tile([1, -1], 3000).astype(np.int8)
    truth = targets * np.linspace(-0.2, 1, len(targets))
    lines, arrays = [], {}
    for n in SIZES:
        for seed in range(n_nets):
            name = f"run{len(lines)}"
            noise = 3 * n ** (exponent / 2) * rng.standard_normal(len(targets))
            arrays[name] = {"outputs": (truth + noise).astype(np.float32), "targets": targets}
            same = {"data": "mnist", "n_train": 300, "data_seed": 0, "depth": 2, "from_start": True}
            seen = {"unsatisfied_per_weight": 0.3 if n < 100 else 0.0, "norm": 1.0}
            lines.append(same | seen | {"n_weights": n, "seed": seed, "name": name})
    return pd.DataFrame(lines).set_index("name"), arrays


def test_fluctuations_of_known_size_have_the_published_exponents() -> None:
    table, arrays = fluctuating(-0.5)
    e = ensembles(table, arrays.__getitem__)
    assert e.variance == pytest.approx(9 * SIZES**-0.5, rel=0.02)  # 6000 patterns, 20 nets: 0.4 % each
    flat, falls, variance, _, _ = ensemble_average.findings(table, arrays.__getitem__)
    assert variance.measured.value == pytest.approx(-0.5, abs=0.02)
    assert variance.measured.error is not None
    assert variance.measured.error < 0.02
    assert flat.agrees
    assert falls.agrees
    assert e.error_of_average[-1] == pytest.approx(1 / 6, abs=0.01)


def test_fluctuations_that_do_not_decay_do_not_agree() -> None:
    table, arrays = fluctuating(-0.1)
    results = ensemble_average.findings(table, arrays.__getitem__)
    assert not results[2].agrees
    assert results[2].measured.value == pytest.approx(-0.1, abs=0.02)


def test_a_seed_with_a_diverged_net_is_left_out_at_all_sizes() -> None:
    table, arrays = fluctuating(-0.5, n_nets=5)
    k = table.reset_index().query("seed == 2 and n_weights == 2000").index[0]
    lost = f"run{k}"
    table.loc[lost, "norm"] = np.nan  # but a net with outputs NaN has a test error, and is not satisfied
    arrays[lost] = {"outputs": arrays[lost]["outputs"] * np.nan, "targets": arrays[lost]["targets"]}
    e = ensembles(table, arrays.__getitem__)
    assert len(e.outputs) == 4
    assert np.isfinite(e.variance).all()
    results = ensemble_average.findings(table, arrays.__getitem__)
    assert all(finding.quantity.endswith("n = 4, 1 of 5 seeds left out") for finding in results)


def test_the_variance_of_two_nets_is_unbiased() -> None:
    """Outputs ±1: the unbiased variance of one pair +1, -1 is 2, and averages to 1 over random pairs."""
    outputs = np.array([[[1.0, 1.0]], [[-1.0, 1.0]]])
    e = Ensembles(np.array([10]), np.nan, outputs, np.array([1, 1]))
    assert e.variance.tolist() == [1.0]  # (2 + 0) / 2
    assert e.relative_variance.tolist() == [1.0]
    assert e.average_error.tolist() == [0.25]
    assert e.error_of_average.tolist() == [0.5]  # 0 has no sign


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    outputs = np.random.default_rng(0).standard_normal((8, 1, 1))
    e = Ensembles(np.array([10]), np.nan, outputs, np.array([1]))
    _, error = e.estimate(lambda e: float(e.outputs.mean()))
    assert error == pytest.approx(outputs.std(ddof=1) / 8**0.5)


def test_nets_with_different_training_patterns_are_refused() -> None:
    table, arrays = fluctuating(-0.5, n_nets=3)
    mixed = table.assign(data_seed=np.arange(len(table)) % 2)
    with pytest.raises(ValueError, match="nets of one data_seed, got"):
        ensembles(mixed, arrays.__getitem__)
    with pytest.raises(ValueError, match="share patterns"):
        Config(data_seed=None)


def test_the_figure_has_errors_variance_and_gain() -> None:
    table, arrays = fluctuating(-0.5, n_nets=4)
    made = ensemble_average.figure(table, arrays.__getitem__)
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles == ["Test error, 4 nets", "Variance of the output", "What averaging gains"]
    made.canvas.draw()


def test_nets_of_an_ensemble_differ_only_in_their_weights() -> None:
    tiny = Config(n_train=20, width=4, data="digits", n_test=30, steps=40, dtype="float64")
    first, second, other = ensemble_average.run([tiny, replace(tiny, seed=1), replace(tiny, data_seed=1)])[:3]
    assert (first.arrays["targets"] == second.arrays["targets"]).all()
    assert not np.allclose(first.arrays["outputs"], second.arrays["outputs"])
    assert first.row["test_error"] == np.mean(first.arrays["outputs"] * first.arrays["targets"] <= 0)
    assert other.arrays["outputs"].shape == (30,)
