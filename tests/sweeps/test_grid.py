"""Grids are products; experiments are found by name; progress is reported to the sweep."""

from dataclasses import dataclass

import numpy as np
import pytest

from symnets.estimates import Estimate
from symnets.sweeps import Finding, experiments, find, grid, name_of, report_progress
from symnets.sweeps._experiment import on_progress


@dataclass(frozen=True)
class Config:
    width: int = 1
    rule: str = "flow"
    seed: int = 0


def test_a_grid_is_a_product_whose_last_axis_varies_fastest():
    configs = grid(Config, width=np.array([8, 10]), rule="descend", seed=range(3))
    assert [(c.width, c.seed) for c in configs] == [(w, s) for w in (8, 10) for s in range(3)]
    assert {c.rule for c in configs} == {"descend"}
    assert all(type(c.width) is int for c in configs)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"widht": (1, 2)}, "no field 'widht'; did you mean 'width'"),
        ({"seed": range(0)}, "seed has no values"),
        ({"seed": (1, 2, 1)}, "seed has a value twice"),
    ],
)
def test_an_inconsistent_grid_is_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        grid(Config, **axes)


def test_an_experiment_is_found_by_its_import_path():
    experiment = find("tests.sweeps.toy_noise")
    assert name_of(experiment) == "tests.sweeps.toy_noise"


def test_a_users_experiment_is_found_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_lone_experiment.py").write_text("from tests.sweeps.toy_noise import *\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(".")  # so that the path is restored afterwards
    assert name_of(find("my_lone_experiment")) == "my_lone_experiment"


@pytest.mark.parametrize("name", ["jamming_plain", "tests.experiments.toy_none", "a b", "../x", ""])
def test_an_unknown_experiment_names_the_nearest(name):
    with pytest.raises(ValueError, match=r"unknown experiment .* is named by its import path"):
        find(name)


def test_listed_experiments_are_experiments():
    listed = experiments()
    assert {"polynomial_picture", "jamming_spheres"} <= set(listed)
    assert not {"__init__", "experiment", "potential"} & set(listed)
    experiment = find("polynomial_picture")
    assert name_of(experiment) == "polynomial_picture"
    assert listed["polynomial_picture"] == (experiment.__doc__ or "").partition("\n")[0]


@pytest.mark.parametrize("name", ["symnets.files", "symnets.sweeps._locks", "json"])
def test_a_module_that_is_no_experiment_is_refused_with_what_it_lacks(name):
    with pytest.raises(ValueError, match="lacks Config, PRESETS, run, findings, figure"):
        find(name)


def test_a_script_is_no_experiment():
    import types

    with pytest.raises(ValueError, match="can be imported"):
        name_of(types.ModuleType("__main__"))  # pyright: ignore[reportArgumentType]


def test_progress_is_reported_inside_the_context_only():
    reports = []
    report_progress(0.1, "outside")
    with on_progress(lambda fraction, text: reports.append((fraction, text))):
        report_progress(0.5, "half")
    report_progress(0.9, "outside")
    assert reports == [(0.5, "half")]


@pytest.mark.parametrize(
    ("measured", "agrees"), [(0.6, True), (0.9, True), (0.59, False), (float("nan"), False)]
)
def test_a_finding_agrees_inside_its_band(measured, agrees):
    assert Finding("slope", Estimate(measured, 0.1), "about 3/4", 0.6, 0.9).agrees is agrees
