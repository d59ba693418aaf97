"""Runs of an experiment whose module has changed since: told, kept in the table, repeated on demand."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from symnets.cli import main
from symnets.sweeps import Experiment, Serial, Table, find, outdated_note, sweep, write_up
from symnets.sweeps._find import HOME, experiments, source_hash

MODULE = '''"""A walk: a toy."""
from dataclasses import dataclass
from matplotlib.figure import Figure
from symnets.estimates import Estimate
from symnets.sweeps import Finding, Result, grid
from walk_helper import twice

@dataclass(frozen=True)
class Config:
    length: int = 4
    seed: int = 0

PRESETS = {"quick": grid(Config, length=(4, 8))}

def run(configs):
    return [Result({"distance": twice(config.seed), "verdict": "DONE"}) for config in configs]

def findings(table, arrays):
    return [Finding("runs", Estimate(len(table), None), "2", 2, 2)]

def figure(table, arrays):
    return Figure()
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A working directory with an experiment and a module that it imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files are edited several times a second
    Path("walk_helper.py").write_text("def twice(x):\n    return 2 * x\n")
    Path("walk.py").write_text(MODULE)
    yield tmp_path
    for name in ("walk", "walk_helper"):
        sys.modules.pop(name, None)


def edited(old: str = "", new: str = "", file: str = "walk.py") -> Experiment:
    """The experiment after an edit, as a new process imports it."""
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))
    for name in ("walk", "walk_helper"):
        sys.modules.pop(name, None)
    return find("walk")


def serial(experiment: Experiment, **options) -> pd.DataFrame:
    configs = experiment.PRESETS["quick"]
    return sweep(experiment, configs, "runs", executor=Serial(), progress=False, **options)


def run_main(command: str, capsys: pytest.CaptureFixture) -> str:
    assert main(command.split()) == 0
    return "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("walk.py", "twice(config.seed)", "twice(config.seed) + 1"), ("walk_helper.py", "2 * x", "2 * x + 1")],
)
def test_runs_of_other_code_are_told_and_repeated_on_demand(folder, capsys, file, old, new):
    assert outdated_note(serial(edited())) is None
    experiment = edited(old, new, file)
    kept = serial(experiment)
    assert list(kept["distance"]) == [0, 0]
    assert str(outdated_note(kept)).startswith("2 of 2 runs were made by other code")
    assert "2 of 2 runs were made by other code" in run_main("table walk runs", capsys)
    run_main("report runs", capsys)
    assert "2 of 2 runs were made by other code" in Path("runs/report.html").read_text()
    printed = run_main("sweep walk --executor serial --output runs --retry-outdated", capsys)
    assert "other code" not in printed
    assert list(Table.load("runs")["distance"]) == [1, 1]


def test_figure_presets_comments_and_docstring_do_not_make_other_code(folder):
    before = source_hash("walk")
    Path("walk.py").write_text(
        MODULE.replace("return Figure()", "return Figure((3, 3))")
        .replace("(4, 8)", "(4, 8, 16)")
        .replace('Estimate(len(table), None), "2"', 'Estimate(len(table), None), "two"')
        .replace("A walk: a toy.", "A walk.")
    )
    assert source_hash("walk") == before is not None
    Path("walk.py").write_text(MODULE.replace("int = 0", "int = 1"))
    assert source_hash("walk") != before
    assert source_hash("nowhere") is None
    assert source_hash("jamming_plane") != source_hash("double_descent")


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ("    seed: int", '    rule: str = "adam"\n    seed: int', "rule"),
        ("    seed: int", "    bias: bool = True\n    seed: int", "bias"),
        ("    length: int = 4\n", "", "length"),
        ("length: int", "n_steps: int", "length"),
        ("length: int = 4", 'length: str = "4"', None),
        ("length: int = 4", "length: bool = True", None),
    ],
)
def test_fields_that_were_added_removed_or_changed_are_missing_values(folder, capsys, old, new, column):
    serial(edited())
    Path("walk.py").write_text(MODULE.replace("length=(4, 8)", "seed=(0, 1)").replace(old, new))
    edited()
    printed = run_main("sweep walk --executor serial --output runs", capsys)
    assert "2 of 2 runs done" in printed
    assert "2 of 4 runs were made by other code" in printed
    table = Table.load("runs")
    assert len(table) == 4
    if column is not None:
        assert table[column].isna().sum() == 2
    assert len(pd.read_csv("runs/table.csv")) == 4
    assert json.loads(Path("runs/findings.json").read_text())["findings"][0]["measured"] == 4
    run_main("table runs -o t.parquet", capsys)
    assert len(pd.read_parquet("t.parquet")) == 4
    run_main("report runs", capsys)
    run_main("figure walk runs", capsys)


def test_findings_are_made_without_runs_of_other_code_if_need_be(folder, capsys):
    serial(edited())
    edited("    seed: int", "    bias: bool = True\n    seed: int")
    edited("return Figure()", 'assert len(table[table["bias"]]) == 2\n    return Figure()')
    printed = run_main("sweep walk --executor serial --output runs", capsys)
    assert "they are in the table, not in findings and figure" in printed
    assert json.loads(Path("runs/findings.json").read_text())["findings"][0]["measured"] == 2
    edited("assert len", "assert not len")
    assert main(["figure", "walk", "runs"]) == 2
    printed = capsys.readouterr().err
    assert "findings or figure cannot be made: AssertionError" in printed
    assert "walk.py, line" in printed


def test_stores_without_hashes_are_read_and_nothing_is_computed(folder, monkeypatch):
    table = serial(edited())
    for name in table.index:
        path = Path("runs", name, "row.json")
        row = json.loads(path.read_text())
        del row["code_hash"]
        path.write_text(json.dumps(row))
    experiment = edited("2 * x", "3 * x", "walk_helper.py")
    monkeypatch.setattr(experiment, "run", None)
    kept = serial(experiment, retry_outdated=True)
    assert outdated_note(kept) == "2 of 2 runs do not record the code that made them"
    assert write_up(experiment, "runs").note == outdated_note(kept)


def test_a_module_that_hides_the_experiment_is_named(folder, capsys):
    edited()
    Path("json.py").write_text(MODULE)
    Path("jamming_plane.py").write_text(MODULE)
    Path("broken.py").write_text("x = 1\nundefined\n")
    Path("script.py").write_text("raise SystemExit('done')\n")
    for line, texts in {
        "sweep json": ("json/__init__.py hides", "json.py, which Python finds last; rename json.py"),
        "run jamming_plane": ("experiments/jamming_plane.py hides",),
        "sweep tests": ("is not an experiment: it lacks Config", "tests/__init__.py"),
        "sweep broken": ("broken.py cannot be imported: NameError", "broken.py, line 2"),
        "sweep script": ("script.py cannot be imported: SystemExit: done",),
    }.items():
        assert main(line.split()) == 2, line
        printed = capsys.readouterr().err
        assert printed.startswith("error: "), line
        for text in texts:
            assert text in printed, line


def test_hidden_files_are_no_experiments(tmp_path, monkeypatch):
    (tmp_path / "._mine.py").write_bytes(b"\x00\x05\x16\x07")  # as macOS writes beside mine.py
    monkeypatch.setattr(sys.modules[HOME], "__path__", [*sys.modules[HOME].__path__, str(tmp_path)])
    assert "jamming_plane" in experiments()


def test_what_a_run_changes_in_its_process_is_undone(folder):
    experiment = edited()
    edited("twice(config.seed)", "harm(config.seed)")
    edited(
        "def run(",
        "def harm(x):\n"
        "    import os, sys, warnings, torch\n"
        "    os.chdir('/')\n    warnings.simplefilter('error')\n"
        "    torch.set_default_dtype(torch.float16)\n    sys.stdout = None\n    return x\n\ndef run(",
    )
    import warnings

    import torch

    before = Path.cwd(), [*warnings.filters], torch.get_default_dtype(), sys.stdout
    table = serial(experiment := find("walk"))
    assert table["error"].isna().all()
    assert (Path.cwd(), [*warnings.filters], torch.get_default_dtype(), sys.stdout) == before
    assert np.array_equal(serial(experiment)["distance"], [0, 0])
