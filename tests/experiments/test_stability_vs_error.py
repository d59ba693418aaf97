"""R against the test error: tables of known laws, and tiny nets on digits."""

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


def test_the_published_law_is_found_again():
    found = stability_vs_error.findings(table_of(), no_arrays)
    assert len(found) == 2 * 7
    ranks, logs, most, difference, g, exponent, start = found[:7]
    assert [f.measured for f in (ranks, logs, most)] == pytest.approx([1, 1, 1])
    assert difference.agrees
    assert g.measured == pytest.approx(-1)
    assert exponent.measured == pytest.approx(0.5)
    assert start.measured == pytest.approx(1.0)
    assert all(f.agrees for f in found)
    assert "P = 1000" in most.quantity


def test_another_exponent_is_told():
    found = stability_vs_error.findings(table_of(exponent=-0.2), no_arrays)
    assert not found[0].agrees
    assert found[5].measured == pytest.approx(-0.2)
    assert not found[5].agrees


def test_seeds_are_averaged_geometrically_errors_by_their_mean():
    table = table_of().query("data == 'mnist'")
    table.loc[table["seed"] == 0, "test_error"] *= 4
    curves = NetCurves.of(table, "R", "test_error")
    # Factors 1/1.1, 1, 1.1 have the geometric mean 1.
    assert curves.cells("R")[0, 0] == pytest.approx(4.0)
    assert curves.scatter("R")[0, 0] == pytest.approx(np.log(1.1) / 3**0.5)
    assert curves.cells("test_error")[0, 0] == pytest.approx(0.2 * 2 * (4 + 1 + 1) / 3)
    assert law(NetCurves.of(table_of().query("data == 'mnist'"), "R", "test_error")) == pytest.approx(
        (0.2, 0.5)
    )


def test_diverged_and_missing_runs_are_left_out():
    table = table_of().query("data == 'mnist'").copy()
    table.loc["run0", ["R", "verdict"]] = [np.nan, "DIVERGED"]
    curves = NetCurves.of(table.drop(index=["run1", "run2"]), "R", "test_error")
    assert curves.nets[0] == "fc2"
    assert np.isnan(curves.cells("R")[0, 0])
    assert curves.n_runs == 21
    assert rank_correlation("R", "test_error")(curves) == pytest.approx(1)
    stability_vs_error.figure(table, no_arrays).canvas.draw()


def test_correlations_are_those_of_numpy_on_the_averages():
    table = table_of().query("data == 'mnist'").copy()
    table["test_error"] *= np.random.default_rng(0).lognormal(0, 0.5, len(table))
    curves = NetCurves.of(table, "R", "test_error")
    r, error = (curves.cells(name).ravel() for name in ("R", "test_error"))
    assert log_correlation("R", "test_error")(curves) == pytest.approx(
        np.corrcoef(np.log(r), np.log(error))[0, 1]
    )
    ranks = [np.argsort(np.argsort(values)) for values in (r, error)]
    assert rank_correlation("R", "test_error")(curves) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    measured, spread = curves.estimate(rank_correlation("R", "test_error"))
    assert spread is not None
    assert 0 < spread < 0.5
    assert (measured, spread) == curves.estimate(rank_correlation("R", "test_error"))


def test_without_scatter_there_is_no_error_and_with_a_single_run_none():
    curves = NetCurves.of(table_of(n_seeds=1).query("data == 'mnist' and net == 'fc2'"), "R", "test_error")
    assert curves.estimate(lambda c: float(c.cells("R")[0, 0])) == (4.0, None)


def test_the_figure_has_a_row_for_each_data_set():
    made = stability_vs_error.figure(table_of(), no_arrays)
    assert [axes.get_title(loc="left") for axes in made.axes] == ["mnist", "", "", "cifar10", "", ""]
    made.canvas.draw()


def test_quick_needs_no_download_and_does_not_fold_much():
    assert {c.data for c in PRESETS["quick"]} == {"digits"}
    assert {c.data for c in PRESETS["minutes"]} == {"mnist"}
    for preset in ("quick", "minutes"):
        assert {c.net for c in PRESETS[preset]} == {c.net for c in PRESETS["hour"]}
    config = PRESETS["quick"][0]
    assert config.temperature < config.field.temperature_range(exact=False)[1]


def test_findings_attribute_to_the_paper_what_its_abstract_says():
    """ε ≈ 0.2 √R, R of order 1 at the start; bands, and what D and G do, are ours."""
    ranks, _, _, difference, g, exponent, start = stability_vs_error.findings(table_of(), no_arrays)[:7]
    assert all("2105.02468" in f.published for f in (ranks, exponent, start))
    assert all("our" in f.published and "2105.02468" not in f.published for f in (difference, g))


def test_presets_run_the_longest_first_and_dense_nets_without_sgd():
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


def test_a_run_measures_start_and_end():
    (result,) = stability_vs_error.run([TINY])
    assert {"R", "R_low", "R_high", "D", "G", "R_init", "test_error", "test_error_sd"} <= set(result.row)
    assert not set(result.row) & set(vars(TINY))
    (other,) = stability_vs_error.run([replace(TINY, seed=1)])
    assert other.row["R_init"] != result.row["R_init"]
