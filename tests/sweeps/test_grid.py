"""Grids are products; experiments are found by name; progress is heard by who listens."""

from dataclasses import dataclass

import numpy as np
import pytest

from symnets.sweeps import Finding, experiments, find, grid, name_of, report_progress
from symnets.sweeps._experiment import listening


@dataclass(frozen=True)
class Config:
    width: int = 1
    rule: str = "flow"
    seed: int = 0


def test_a_grid_is_a_product_whose_last_axis_runs_fastest():
    made = grid(Config, width=np.array([8, 10]), rule="descend", seed=range(3))
    assert [(c.width, c.seed) for c in made] == [(w, s) for w in (8, 10) for s in range(3)]
    assert {c.rule for c in made} == {"descend"}
    assert all(type(c.width) is int for c in made)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"widht": (1, 2)}, "no field 'widht'; did you mean 'width'"),
        ({"seed": range(0)}, "seed has no values"),
        ({"seed": (1, 2, 1)}, "seed has a value twice"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(axes, message):
    with pytest.raises(ValueError, match=message):
        grid(Config, **axes)


def test_an_experiment_is_found_by_its_import_path():
    found = find("tests.sweeps.toy_noise")
    assert name_of(found) == "tests.sweeps.toy_noise"


def test_an_experiment_of_ones_own_is_found_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_lone_experiment.py").write_text("from tests.sweeps.toy_noise import *\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(".")  # so that the path is restored afterwards
    assert name_of(find("my_lone_experiment")) == "my_lone_experiment"


@pytest.mark.parametrize("name", ["jamming_plain", "tests.experiments.toy_none", "a b", "../x", ""])
def test_an_unknown_experiment_names_the_nearest(name):
    with pytest.raises(ValueError, match=r"unknown experiment .* is named by its import path"):
        find(name)


def test_every_experiment_that_is_listed_is_one():
    listed = experiments()
    assert {"polynomial_picture", "jamming_spheres"} <= set(listed)
    assert not {"claim", "experiment", "potential"} & set(listed)
    assert listed["polynomial_picture"].startswith("Polynomials of growing degree")
    assert name_of(find("polynomial_picture")) == "polynomial_picture"


@pytest.mark.parametrize("name", ["symnets.files", "symnets.sweeps._claims", "json"])
def test_a_module_that_is_no_experiment_tells_what_it_lacks(name):
    with pytest.raises(ValueError, match="lacks Config, PRESETS, run, figure, findings"):
        find(name)


def test_a_script_is_no_experiment():
    import types

    with pytest.raises(ValueError, match="can be imported"):
        name_of(types.ModuleType("__main__"))  # pyright: ignore[reportArgumentType]


def test_progress_goes_to_whom_it_may_concern():
    heard = []
    report_progress(0.1, "nobody listens")
    with listening(lambda fraction, text: heard.append((fraction, text))):
        report_progress(0.5, "half")
    report_progress(0.9, "nobody listens")
    assert heard == [(0.5, "half")]


@pytest.mark.parametrize(
    ("measured", "agrees"), [(0.6, True), (0.9, True), (0.59, False), (float("nan"), False)]
)
def test_a_finding_agrees_inside_its_band(measured, agrees):
    assert Finding("slope", measured, 0.1, "about 3/4", 0.6, 0.9).agrees is agrees
