"""What every experiment fulfils: configurations, presets, docstring, page, committed rows and findings."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from symnets.sweeps import experiments, find, override
from symnets.sweeps._batches import run_hash, scalars

ROOT = Path(__file__).parents[2]
NAMES = list(experiments())
FOLDER = ROOT / "benchmarks" / "results" / "findings"
RESULTS = [
    {"experiment": path.stem} | sweep
    for path in sorted(FOLDER.glob("*.json"))
    for sweep in json.loads(path.read_text("utf-8"))["sweeps"]
]
COMMITTED = sorted(path.stem for path in (ROOT / "benchmarks" / "results" / "experiments").glob("*.csv"))
every_experiment = pytest.mark.parametrize("name", NAMES)


def module_at(path: Path) -> ModuleType:
    """A module from a file that is in no package."""
    spec = importlib.util.spec_from_file_location(f"docs_test_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    pytest.importorskip("mkdocs")
    return module_at(ROOT / "docs" / "hooks.py")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return module_at(ROOT / "benchmarks" / "experiments.py")


@every_experiment
def test_configurations_are_frozen_records_of_scalars(name: str) -> None:
    config = find(name).PRESETS["quick"][0]
    assert hash(config) == hash(type(config)(**asdict(config)))
    with pytest.raises(FrozenInstanceError):
        config.seed = 1
    assert "seed" in {field.name for field in fields(config)}
    assert all(isinstance(value, int | float | str | None) for value in asdict(config).values())


@every_experiment
def test_titles_are_plain_text(name: str) -> None:
    """The terminal shows them as they are (`symnets list experiments`)."""
    title = (find(name).__doc__ or "").splitlines()[0]
    assert not set("$\\`{}") & set(title)


@every_experiment
def test_modules_list_the_parts_that_they_have(name: str) -> None:
    parts = ("CLAIMS", "MAX_BATCH", "PRESETS", "Config", "batch_key", "figure", "findings", "run")
    module: Any = find(name)
    assert module.__all__ == [part for part in parts if hasattr(module, part)]


@every_experiment
def test_presets_are_grids_of_distinct_runs(name: str) -> None:
    presets = find(name).PRESETS
    assert {"quick", "paper"} <= set(presets)
    for configs in presets.values():
        hashes = {run_hash(f"symnets.experiments.{name}", scalars(config)) for config in configs}
        assert len(hashes) == len(configs)


@every_experiment
def test_a_page_is_made_of_the_docstring_and_the_committed_results(name: str, hooks: ModuleType) -> None:
    (experiment,) = [each for each in hooks.all_experiments() if each.name == name]
    page = hooks.page(experiment, "# Notes\n\nA remark.\n")
    assert page.startswith(f"# {experiment.title}\n")
    for heading in ("**Question.**", "**Law.**", "**Figure"):
        assert heading in page
    assert page.count("\n| ") >= sum(len(sweep["findings"]) for sweep in experiment.sweeps)
    assert page.endswith("A remark.\n")
    assert "# Notes" not in page


def test_every_experiment_has_committed_findings() -> None:
    assert {result["experiment"] for result in RESULTS} == set(NAMES)


def test_presets_of_committed_findings_have_their_number_of_runs() -> None:
    for result in RESULTS:
        if "set" not in result:
            assert len(find(result["experiment"]).PRESETS[result["preset"]]) == result["runs"]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_rows_give_the_committed_findings(name: str, benchmark: ModuleType) -> None:
    """Rows are rounded to seven digits, of which differences keep five, and large arrays to three."""
    table, arrays = benchmark.load(name)
    tolerance = 1e-3 if (benchmark.ROWS / f"{name}.npz").exists() else 1e-5
    known = [
        finding
        for result in RESULTS
        if result["experiment"] == name and result["runs"] == len(table)
        for finding in result["findings"]
    ]
    results = find(name).findings(table, arrays)
    assert [finding.quantity for finding in results] == [finding["quantity"] for finding in known]
    for finding, expected in zip(results, known, strict=True):
        assert finding.measured.value == pytest.approx(
            expected["measured"], rel=tolerance, abs=1e-12, nan_ok=True
        )
        assert finding.published == expected["published"]


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_rows_give_a_figure_and_the_page_carries_it(name: str, benchmark: ModuleType) -> None:
    assert find(name).figure(*benchmark.load(name)).axes
    picture = ROOT / "docs" / "experiments" / f"{name}.png"
    assert 1_000 < picture.stat().st_size < 150_000


def test_pages_say_which_experiments_read_mnist_and_how_to_do_without(hooks: ModuleType) -> None:
    presets = {name: find(name).PRESETS["quick"] for name in NAMES}
    data = {name: {vars(config).get("data") for config in configs} for name, configs in presets.items()}
    assert set(hooks.OFFLINE) == {name for name in NAMES if "mnist" in data[name]}
    for name, options in hooks.OFFLINE.items():
        settings = [word for word in options.split() if word != "--set"]
        assert all(c.data != "mnist" for c in override(presets[name], settings))


def counts(hooks: ModuleType) -> Iterator[tuple[int, int]]:
    """Agreeing findings and all findings, for each subject that has experiments."""
    for subject in hooks.SUBJECTS:
        if mine := [each for each in hooks.all_experiments() if each.subject == subject]:
            yield hooks.count(mine)


def test_counts_of_readme_are_those_of_the_committed_findings(hooks: ModuleType) -> None:
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    everything = hooks.all_experiments()
    stability = [each for each in everything if each.subject == hooks.TALKS.subjects["E"]]
    for some in (stability, [each for each in everything if each not in stability]):
        agreeing, total = hooks.count(some)
        assert f"{agreeing} of {total}" in readme


def test_the_index_lists_every_experiment_and_all_counts(hooks: ModuleType) -> None:
    index = hooks.index(hooks.all_experiments(), "# Findings\n")
    for name in NAMES:
        assert f"[{name}]({name}.md)" in index
    for agreeing, total in counts(hooks):
        assert f"{agreeing} of {total} findings agree" in index


def test_navigation_has_the_pages_behind_the_index(hooks: ModuleType) -> None:
    nav = [{"Start": "index.md"}, {"Experiments": [{"Findings": "experiments/index.md"}, "other.md"]}]
    assert hooks.navigation(nav, ["a", "b"])
    assert nav[1] == {"Experiments": [{"Findings": "experiments/index.md"}, "a", "b", "other.md"]}
    assert not hooks.navigation([{"Start": "index.md"}], ["a"])


def test_cells_of_tables_are_text() -> None:
    pytest.importorskip("mkdocs")
    hooks = module_at(ROOT / "docs" / "hooks.py")
    assert hooks.cell("largest |f| at N* < 2") == r"largest \|f\| at N\* \< 2"
    finding = {"measured": float("nan"), "error": None, "low": 0.5, "high": float("inf"), "agrees": False}
    assert (hooks.number(finding), hooks.band(finding)) == ("not defined", "0.5 or more")


def test_a_docstring_without_sections_is_refused(hooks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"expected a docstring 'Title: statement.'"):
        hooks.read("__init__", ())
