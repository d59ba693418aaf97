"""Jamming of spheres, with small packings."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from symnets.experiments import jamming_spheres as jamming
from symnets.experiments.jamming_spheres import Config
from symnets.setups import PackingAverages
from symnets.sweeps import grid

Study = tuple[pd.DataFrame, dict[str, Mapping[str, np.ndarray]]]


@pytest.fixture(scope="module")
def study() -> Study:
    """Quenches of 64 discs across the transition, and decompressions of 128."""
    configs = (
        *grid(Config, n_spheres=64, phi=[0.74, 0.78, 0.82, 0.86, 0.90], seed=range(6)),
        *grid(Config, n_spheres=128, phi=0.9, decompress_to=1e-4, seed=range(4)),
    )
    results = jamming.run(configs)
    names = [f"run{k}" for k in range(len(configs))]
    lines = [{**asdict(config), **result.row} for config, result in zip(configs, results, strict=True)]
    return pd.DataFrame(lines, index=names), {
        name: result.arrays for name, result in zip(names, results, strict=True)
    }


@pytest.mark.slow
def test_contacts_jump_from_none_to_isostatic(study: Study) -> None:
    table, _ = study
    ratio = (table["n_unsatisfied"] / table["n_effective"]).to_numpy()
    jammed = (table["verdict"] == "UNSAT").to_numpy()
    assert 0 < jammed.mean() < 1
    assert ratio[~jammed].max() == 0
    assert ratio[jammed].min() >= 1
    assert not jammed[table["phi"] == 0.74].any()
    assert jammed[table["phi"] == 0.90].all()


@pytest.mark.slow
def test_findings_agree_with_published_values_of_discs(study: Study) -> None:
    table, arrays = study
    results = {finding.quantity: finding for finding in jamming.findings(table, arrays.__getitem__)}
    assert len(results) == 7
    assert results["fraction of quenches with 0 < N_c/N < 0.95, 2-d, n = 64"].measured.value == 0
    assert results["N_c/N at jamming, 2-d, n = 128"].measured.value == pytest.approx(1, abs=0.02)
    # A small packing jams early, and half a decade is short: these exponents are rough.
    assert results["mean phi_J of quenches, 2-d, n = 64"].measured.value == pytest.approx(0.84, abs=0.03)
    assert results["exponent of energy in phi - phi_J, 2-d, n = 128"].measured.value == pytest.approx(
        2, abs=0.2
    )
    assert results["exponent of coordination in phi - phi_J, 2-d, n = 128"].measured.value == pytest.approx(
        0.5, abs=0.2
    )


def test_the_error_of_the_exponent_in_pressure_is_the_scatter_of_packings() -> None:
    """Packings follow Z = A p^(1/2 + a) exactly; only A and a differ from packing to packing.

    To first order the exponent of the mean is 1/2 plus the mean of the a, with its standard error.
    """
    excess, n = np.geomspace(1e-3, 1e-1, 8), 40
    a = 0.02 * np.random.default_rng(0).standard_normal((n, 1))
    pressure = np.tile(excess, (n, 1))
    lines = PackingAverages(excess, (pressure / 1e-2) ** (0.5 + a), pressure**2, pressure, np.ones(n))
    fit = lines.coordination_law()
    assert fit.exponent.value == pytest.approx(0.5 + a.mean(), abs=1e-3)
    # 500 resamples give a standard deviation to 3 %; the curvature of the mean of powers adds an error.
    assert fit.exponent.error == pytest.approx(a.std(ddof=1) / n**0.5, rel=0.15)


@pytest.mark.slow
def test_the_figure_shows_jump_and_laws(study: Study) -> None:
    table, arrays = study
    figure = jamming.figure(table, arrays.__getitem__)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Jump of contacts", "Contacts past jamming", "Energy and pressure"]
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    assert {"SAT", "UNSAT", "isostatic, $N_c = N$"} <= set(labels)
    assert sum("slope" in label for label in labels) == 3


@pytest.mark.slow
def test_an_incomplete_table_has_a_figure(study: Study) -> None:
    """A sweep that is not done yet, or a single run."""
    table, arrays = study
    for part in (table.iloc[:3], table.iloc[-4:], table.iloc[-1:]):
        jamming.figure(part, arrays.__getitem__)
        jamming.findings(part, arrays.__getitem__)


@pytest.mark.slow
def test_a_run_does_not_depend_on_its_batch(study: Study) -> None:
    table, _ = study
    config = Config(n_spheres=64, phi=0.86, seed=3)
    (result,) = jamming.run([config])
    line = table[(table["phi"] == 0.86) & (table["seed"] == 3)].iloc[0]
    assert (result.row["energy"], result.row["n_iterations"]) == (line["energy"], line["n_iterations"])


def test_invalid_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="dim: expected 2 to 3, got 4"):
        Config(dim=4)
    with pytest.raises(ValueError, match="phi"):
        Config(phi=0)
    with pytest.raises(ValueError, match="decompress_to"):
        Config(decompress_to=0.0)
