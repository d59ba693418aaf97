"""R against the test error: findings on tables of known laws, and tiny nets on digits."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from symnets.estimates import NetCurves, log_correlation, rank_correlation
from symnets.experiments import stability_vs_error
from symnets.experiments.stability_vs_error import PRESETS, Config, law

NETS = ("fc2", "lenet", "vgg", "resnet")
SIZES = (100, 1000)


def no_arrays(name: str) -> Mapping[str, np.ndarray]:
    raise AssertionError(f"{name}: this experiment has no arrays")


def table_of(exponent: float = 0.5, n_seeds: int = 3) -> pd.DataFrame:
    """ε = 0.2 R^exponent; R falls from net to net and with P, D is alike for all; seeds differ by factors."""
    lines = []
    for data in ("mnist", "cifar10"):
        for k, net in enumerate(NETS):
            for p, n in enumerate(SIZES):
                r = 4.0 * 3.0**-k * 2.0**-p
                for seed in range(n_seeds):
                    factor = 1.1 ** (seed - (n_seeds - 1) / 2)
                    lines.append(
                        {
                            "data": data,
                            "net": net,
                            "n_train": n,
                            "seed": seed,
                            "verdict": "FITTED",
                            "test_error": 0.2 * r**exponent,
                            "R": r * factor,
                            "D": 0.05 * (1 + 0.1 * ((k + p) % 2)),
                            "G": 0.05 / r,
                            "R_init": 1.0 * factor,
                        }
                    )
    return pd.DataFrame(lines, index=[f"run{k}" for k in range(len(lines))])


def test_the_published_law_agrees():
    results = stability_vs_error.findings(table_of(), no_arrays)
    assert len(results) == 2 * 7
    ranks, logs, most, difference, g, exponent, start = results[:7]
    assert [f.measured.value for f in (ranks, logs, most)] == pytest.approx([1, 1, 1])
    assert difference.agrees
    assert g.measured.value == pytest.approx(-1)
    assert exponent.measured.value == pytest.approx(0.5)
    assert start.measured.value == pytest.approx(1.0)
    assert all(f.agrees for f in results)
    assert "P = 1000" in most.quantity


def test_another_exponent_does_not_agree():
    results = stability_vs_error.findings(table_of(exponent=-0.2), no_arrays)
    assert not results[0].agrees
    assert results[5].measured.value == pytest.approx(-0.2)
    assert not results[5].agrees


def test_r_is_averaged_geometrically_over_seeds_and_errors_arithmetically():
    table = table_of().query("data == 'mnist'")
    table.loc[table["seed"] == 0, "test_error"] *= 4
    curves = NetCurves.from_table(table, "R", "test_error")
    # Factors 1/1.1, 1, 1.1 have the geometric mean 1.
    assert curves.mean("R")[0, 0] == pytest.approx(4.0)
    assert curves.error("R")[0, 0] == pytest.approx(np.log(1.1) / 3**0.5)
    assert curves.mean("test_error")[0, 0] == pytest.approx(0.2 * 2 * (4 + 1 + 1) / 3)
    assert law(NetCurves.from_table(table_of().query("data == 'mnist'"), "R", "test_error")) == pytest.approx(
        (0.2, 0.5)
    )


def test_diverged_and_missing_runs_are_left_out():
    table = table_of().query("data == 'mnist'").copy()
    table.loc["run0", ["R", "verdict"]] = [np.nan, "DIVERGED"]
    curves = NetCurves.from_table(table.drop(index=["run1", "run2"]), "R", "test_error")
    assert curves.nets[0] == "fc2"
    assert np.isnan(curves.mean("R")[0, 0])
    assert curves.n_runs == 21
    assert rank_correlation("R", "test_error")(curves) == pytest.approx(1)
    stability_vs_error.figure(table, no_arrays).canvas.draw()


def test_correlations_are_those_of_numpy_on_the_averages():
    table = table_of().query("data == 'mnist'").copy()
    table["test_error"] *= np.random.default_rng(0).lognormal(0, 0.5, len(table))
    curves = NetCurves.from_table(table, "R", "test_error")
    r, error = (curves.mean(name).ravel() for name in ("R", "test_error"))
    assert log_correlation("R", "test_error")(curves) == pytest.approx(
        np.corrcoef(np.log(r), np.log(error))[0, 1]
    )
    ranks = [np.argsort(np.argsort(values)) for values in (r, error)]
    assert rank_correlation("R", "test_error")(curves) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    measured, spread = curves.estimate(rank_correlation("R", "test_error"))
    assert spread is not None
    assert 0 < spread < 0.5
    assert (measured, spread) == curves.estimate(rank_correlation("R", "test_error"))


def test_errors_are_zero_without_scatter_and_undefined_for_a_single_run():
    curves = NetCurves.from_table(
        table_of(n_seeds=1).query("data == 'mnist' and net == 'fc2'"), "R", "test_error"
    )
    assert curves.estimate(lambda c: float(c.mean("R")[0, 0])) == (4.0, None)


def test_the_figure_has_a_row_for_each_data_set():
    made = stability_vs_error.figure(table_of(), no_arrays)
    assert [axes.get_title(loc="left") for axes in made.axes] == ["mnist", "", "", "cifar10", "", ""]
    made.canvas.draw()


def test_quick_needs_no_download_and_few_fields_fold():
    assert {c.data for c in PRESETS["quick"]} == {"digits"}
    assert {c.data for c in PRESETS["minutes"]} == {"mnist"}
    for preset in ("quick", "minutes"):
        assert {c.net for c in PRESETS[preset]} == {c.net for c in PRESETS["hour"]}
    config = PRESETS["quick"][0]
    assert config.temperature < config.field.temperature_range(exact=False)[1]


def test_findings_cite_the_paper_only_for_its_own_statements():
    """ε ≈ 0.2 √R, R of order 1 at the start; bands, and what D and G do, are ours."""
    ranks, _, _, difference, g, exponent, start = stability_vs_error.findings(table_of(), no_arrays)[:7]
    assert all("2105.02468" in f.published for f in (ranks, exponent, start))
    assert all("our" in f.published and "2105.02468" not in f.published for f in (difference, g))


def test_presets_start_with_the_longest_runs_and_dense_nets_use_adamw():
    steps = [config.steps for config in PRESETS["hour"]]
    assert steps == sorted(steps, reverse=True)
    assert len({c.net for c in PRESETS["hour"]}) == 8
    assert {c.cutoff for c in PRESETS["hour"] if c.data == "cifar10"} == {5.0}
    assert {c.optimiser for c in PRESETS["paper"] if c.net == "fc2"} == {"adamw"}
    assert {c.rate for c in PRESETS["paper"] if c.net == "resnet"} == {0.1}


TINY = Config(
    net="lenet",
    data="digits",
    n_train=60,
    n_test=50,
    min_steps=10,
    max_steps=10,
    cutoff=2.0,
    delta=0.5,
    n_images=30,
    n_draws=1,
)


def test_a_run_measures_before_and_after_training():
    (result,) = stability_vs_error.run([TINY])
    assert {"R", "R_low", "R_high", "D", "G", "R_init", "test_error", "test_error_sd"} <= set(result.row)
    assert not set(result.row) & set(vars(TINY))
    (other,) = stability_vs_error.run([replace(TINY, seed=1)])
    assert other.row["R_init"] != result.row["R_init"]
