"""`symnets run`, `sweep`, `figure`, `table` and `report` on two toy experiments."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from symnets.cli import main
from symnets.sweeps import Table, run_hashes
from symnets.sweeps._store import remove_runs
from tests.sweeps import toy_faults, toy_noise

NOISE, FAULTS = "tests.sweeps.toy_noise", "tests.sweeps.toy_faults"


def sweep(name: str, directory: Path, *options: str) -> int:
    return main(["sweep", name, "--output", str(directory), "--executor", "serial", *options])


def test_sweep_writes_figure_table_and_findings(tmp_path, capsys):
    assert sweep(NOISE, tmp_path) == 0
    printed = capsys.readouterr()
    assert "variance" in printed.out
    assert "yes" in printed.out
    assert f"{NOISE}: 12 of 12 runs done" in printed.err
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    assert len(pd.read_csv(tmp_path / "table.csv")) == 12
    (found,) = json.loads((tmp_path / "findings.json").read_text())["findings"]
    assert found["agrees"] is True
    assert found["published"] == "1 (by definition)"


def test_the_directory_is_named_after_experiment_and_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", NOISE, "--executor", "serial", "--preset", "quick"]) == 0
    assert len(run_hashes(tmp_path / "results" / f"{NOISE}-quick")) == 12


def test_failures_are_reported_and_other_runs_are_drawn(tmp_path, capsys):
    assert sweep(FAULTS, tmp_path) == 1
    printed = capsys.readouterr().out
    assert "failed: ArithmeticError: the ground state is below the basement" in printed
    assert "3 of 6 runs failed" in printed
    assert "NO" in printed  # 2 lies outside the band around 3
    assert (tmp_path / "figure.png").exists()


def test_retry_failed_repeats_failed_runs(tmp_path, monkeypatch):
    assert sweep(FAULTS, tmp_path) == 1
    monkeypatch.setattr(toy_faults, "run", lambda configs: [toy_faults.Result({"twice": 7}) for _ in configs])
    assert sweep(FAULTS, tmp_path) == 1
    assert sweep(FAULTS, tmp_path, "--retry-failed") == 0


def test_table_is_written_if_all_runs_fail(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(toy_noise, "run", lambda configs: 1 / 0)
    assert sweep(NOISE, tmp_path) == 1
    assert "12 of 12 runs failed" in capsys.readouterr().out
    assert set(pd.read_csv(tmp_path / "table.csv")["verdict"]) == {"ERROR"}
    assert not (tmp_path / "figure.png").exists()


def test_ctrl_c_keeps_finished_runs(tmp_path, monkeypatch, capsys):
    run, calls = toy_noise.run, []

    def interrupted(configs):
        calls.append(configs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(configs)

    monkeypatch.setattr(toy_noise, "run", interrupted)
    assert sweep(NOISE, tmp_path) == 130
    assert re.search(r"interrupted; 4 of 12 runs are stored .*command continues", capsys.readouterr().err)
    assert sweep(NOISE, tmp_path) == 0
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sweep jamming_plan", "unknown experiment 'jamming_plan'; did you mean"),
        (f"sweep {NOISE} --preset quik", "has no preset 'quik'; did you mean 'quick'"),
        (f"sweep {NOISE} --set lenght=4", "unknown key 'lenght'; did you mean 'length'"),
        (f"sweep {NOISE} --set length=4,many", "--set: length: Input should be a valid integer"),
        (f"sweep {NOISE} --set length=0", "length: expected at least 1, got 0"),
        (f"sweep {NOISE} --set length=4,4", "length has a value twice"),
        (f"sweep {NOISE} --set length=4 --set length=5", "length is set twice"),
        (f"sweep {NOISE} --set length", "expected field=value"),
        (f"sweep {NOISE} --executor dusk://here", "expected local, serial or dask://HOST:PORT"),
        (f"sweep {NOISE} --executor local --workers 0", "workers: expected at least 1, got 0"),
        ("run", "name an experiment first"),
        ("run --seed 3", "name an experiment first"),
        (f"run {NOISE} --length 0", "length: expected at least 1, got 0"),
        (f"figure {NOISE} nowhere", "nowhere: there is no such directory"),
        ("table nowhere", "nowhere: there is no such directory"),
        ("table", "expected `symnets table [NAME] DIR`"),
        ("table one two three", "expected `symnets table [NAME] DIR`"),
        ("table jamming_plan .", ".: expected runs of jamming_plan, found none"),
        (f"table {NOISE} .", f".: expected runs of {NOISE}, found none"),
        ("report nowhere", "nowhere: there is no such directory"),
        (f"figure {NOISE} .", "expected runs of tests.sweeps.toy_noise, found none"),
        ("table .", "expected runs, found none"),
        ("report .", "expected runs here or below, found none"),
    ],
)
def test_wrong_input_is_an_error_of_one_line(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed


def test_run_prints_its_row(tmp_path, capsys):
    assert main(["run", NOISE, "--length", "9", "--seed", "3", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    (mean,) = Table.load(tmp_path)["mean"]
    assert f"{mean:.4g}" in printed
    assert "SAT" in printed
    assert mean == toy_noise.run([toy_noise.Config(length=9, seed=3)])[0].row["mean"]
    assert main(["run", NOISE, "--length", "9", "--seed", "3"]) == 0  # not stored
    assert len(run_hashes(tmp_path)) == 1


def test_failed_run_prints_its_error(tmp_path, capsys):
    assert main(["run", FAULTS, "--fault", "raise", "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "ERROR" in printed.out
    assert "ArithmeticError: the ground state is below the basement" in printed.err
    assert "toy_faults.py" in printed.err


def test_options_of_a_run_are_the_fields_of_its_config(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", FAULTS, "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("NAME", "--number INT", "--fault {none,raise", "--output"))


def test_the_table_goes_to_csv_and_parquet(tmp_path):
    sweep(NOISE, tmp_path / "runs")
    for name, read in (("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)):
        assert main(["table", str(tmp_path / "runs"), "-o", str(tmp_path / name)]) == 0
        assert list(read(tmp_path / name)["length"]) == [4] * 4 + [16] * 4 + [64] * 4


def test_the_table_of_one_experiment_leaves_out_the_others(tmp_path, capsys):
    sweep(NOISE, tmp_path / "runs")
    sweep(FAULTS, tmp_path / "runs")
    assert main(["table", FAULTS, str(tmp_path / "runs"), "-o", str(tmp_path / "t.csv")]) == 0
    assert set(pd.read_csv(tmp_path / "t.csv")["experiment"]) == {FAULTS}
    assert main(["table", str(tmp_path / "runs"), "-o", str(tmp_path / "t.csv")]) == 0
    assert set(pd.read_csv(tmp_path / "t.csv")["experiment"]) == {NOISE, FAULTS}
    assert main(["table", "toy_noise", str(tmp_path / "runs"), "-o", str(tmp_path / "t.csv")]) == 2
    assert f"expected runs of toy_noise, found none; did you mean '{NOISE}'" in capsys.readouterr().err


def test_set_replaces_fields_of_the_preset(tmp_path, monkeypatch):
    """The preset has lengths 4, 16, 64 and seeds 0 to 3: with one length and two seeds, two runs are left."""
    monkeypatch.chdir(tmp_path)
    line = ["sweep", NOISE, "--executor", "serial", "--set", "length=9", "--set", "seed=5,7"]
    assert main(line) == 0
    table = Table.load(tmp_path / "results" / f"{NOISE}-quick-length=9-seed=5,7")
    assert list(table["length"]) == [9, 9]
    assert list(table["seed"]) == [5, 7]


def test_figure_redraws_the_runs(tmp_path):
    sweep(NOISE, tmp_path)
    remove_runs(tmp_path, list(run_hashes(tmp_path))[:2])
    (tmp_path / "figure.svg").unlink()
    assert main(["figure", NOISE, str(tmp_path)]) == 0
    assert (tmp_path / "figure.svg").exists()
    assert len(pd.read_csv(tmp_path / "table.csv")) == 10


def test_figure_of_runs_in_a_read_only_directory_goes_elsewhere(tmp_path, capsys):
    runs, elsewhere = tmp_path / "runs", tmp_path / "mine"
    sweep(NOISE, runs)
    before = sorted((path, path.stat().st_mtime_ns) for path in runs.rglob("*"))
    assert main(["figure", NOISE, str(runs), "--output", str(elsewhere)]) == 0
    names = ["figure.png", "figure.svg", "findings.json", "table.csv"]
    assert sorted(path.name for path in elsewhere.iterdir()) == names
    assert sorted((path, path.stat().st_mtime_ns) for path in runs.rglob("*")) == before
    (tmp_path / "file").write_text("")
    for command in (["figure", NOISE, str(runs)], ["sweep", NOISE]):
        assert main([*command, "--output", str(tmp_path / "file")]) == 2
        assert "cannot be written: Not a directory; choose another --output" in capsys.readouterr().err


def test_findings_are_printed_although_the_figure_cannot_be_written(tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    sweep(NOISE, tmp_path)
    printed = capsys.readouterr().out.partition("wrote")[0]
    monkeypatch.setattr("symnets.sweeps._write_up.save_figure", full)
    assert main(["figure", NOISE, str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == printed
    assert "no space left on device" in captured.err.lower()


def test_report_contains_figures_findings_and_errors(tmp_path, capsys):
    sweep(NOISE, tmp_path / "noise")
    sweep(FAULTS, tmp_path / "deep" / "faults")
    assert main(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 2
    assert not re.search(r'(src|href)="(?!data:)', page)  # needs no other file
    for expected in (
        f"{NOISE} in noise",
        f"{FAULTS} in faults",
        "The mean of noise falls as the square root of its length",
        "1 (by definition)",
        "3 (folklore)",
        "ArithmeticError: the ground state",
        "<dd>18</dd>",
    ):
        assert expected in page, expected


def test_report_marks_missing_and_outdated_figures(tmp_path):
    sweep(NOISE, tmp_path / "noise")
    remove_runs(tmp_path / "noise", list(run_hashes(tmp_path / "noise"))[:2])
    main(["run", FAULTS, "--output", str(tmp_path / "faults")])
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "There are 10 runs now" in page
    assert f"No figure yet: `symnets figure {FAULTS}" in page


def test_report_does_not_import_experiments(tmp_path, monkeypatch):
    sweep(NOISE, tmp_path)
    monkeypatch.delitem(sys.modules, NOISE)
    assert main(["report", str(tmp_path)]) == 0
    assert NOISE not in sys.modules


def test_damaged_findings_are_refused(tmp_path, capsys):
    sweep(NOISE, tmp_path)
    (tmp_path / "findings.json").write_text("[1")
    assert main(["report", str(tmp_path)]) == 2
    assert "findings.json: expected what `symnets figure` writes" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_on_the_terminal_ends_a_sweep_on_processes(tmp_path):
    """The whole group of processes gets the signal, as from a terminal."""
    command = [sys.executable, "-m", "symnets.cli", "sweep", NOISE, "--preset", "paper", "--output"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "runs")],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "runs").exists() or len(run_hashes(tmp_path / "runs")) < 20:
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in printed
    kept = len(run_hashes(tmp_path / "runs"))
    assert 20 <= kept < 200
    assert f"interrupted; {kept} of 200 runs are stored" in printed
