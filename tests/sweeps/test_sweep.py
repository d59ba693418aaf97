"""A sweep computes every run once and loses none, also if it is interrupted, killed or shared."""

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from symnets.sweeps import Serial, Table, batches, grid, run_hashes, sweep, write_table
from symnets.sweeps import _sweep as module
from symnets.sweeps._executors import Processes
from symnets.sweeps._locks import LOCKS, try_lock
from symnets.sweeps._store import remove_runs
from symnets.sweeps._worker import Job, run_job
from tests.forked import forks
from tests.sweeps import toy_faults, toy_noise
from tests.sweeps.toy_sweep import sweep_noise

FAST = grid(toy_noise.Config, length=(4, 8), seed=range(7), pause=0.0)
others = forks("tests.sweeps.toy_sweep")


def serial(experiment, configs, directory, **options) -> pd.DataFrame:
    return sweep(experiment, configs, directory, executor=Serial(), progress=False, **options)


def faulty(*faults, number=(1,)) -> tuple[toy_faults.Config, ...]:
    return grid(toy_faults.Config, number=number, fault=faults)


def same(one: pd.DataFrame, two: pd.DataFrame) -> None:
    """Equal to the last bit, except for the time it took and commits made meanwhile."""
    one, two = (table.drop(columns=["seconds", "commit"]) for table in (one, two))
    assert_frame_equal(one, two, check_exact=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """Two hundred runs, swept without interruption."""
    directory = tmp_path_factory.mktemp("sweep") / "uninterrupted"
    sweep_noise(directory)
    return directory


def test_rows_equal_those_of_direct_calls_in_the_order_of_the_grid(tmp_path):
    table = serial(toy_noise, FAST, tmp_path)
    expected = []
    for length in (4, 8):
        members = [config for config in FAST if config.length == length]
        for chunk in (members[:5], members[5:]):  # MAX_BATCH is 5
            expected += [result.row["mean"] for result in toy_noise.run(chunk)]
    assert list(table["mean"]) == expected
    assert list(zip(table["length"], table["seed"], strict=True)) == [(c.length, c.seed) for c in FAST]
    assert table["error"].isna().all()
    same(table, Table.load(tmp_path))
    noise = Table.arrays(tmp_path)(str(table.index[3]))["noise"]
    assert noise.mean() == table["mean"].iloc[3]
    assert os.listdir(tmp_path / LOCKS) == []


def test_nothing_is_computed_twice(tmp_path, monkeypatch):
    calls = []
    run = toy_noise.run
    monkeypatch.setattr(toy_noise, "run", lambda configs: calls.append(len(configs)) or run(configs))
    first = serial(toy_noise, FAST + FAST, tmp_path)
    assert sorted(calls) == [2, 2, 5, 5]
    assert len(first) == len(FAST)
    same(serial(toy_noise, FAST, tmp_path), first)
    assert len(calls) == 4


def test_a_missing_run_is_recomputed_with_the_same_bits(tmp_path):
    first = serial(toy_noise, FAST, tmp_path)
    remove_runs(tmp_path, [str(name) for name in first.index[[1, 6, 9]]])
    assert len(run_hashes(tmp_path)) == len(FAST) - 3
    same(serial(toy_noise, FAST, tmp_path), first)


def test_only_the_runs_that_fail_are_recorded_as_failed(tmp_path):
    faults = ("raise", "memory", "short", "tensor", "exit", "cancel", "recursion", "warning", "nothing")
    configs = faulty("none", *faults, "nan", number=(1, 2))
    table = serial(toy_faults, configs, tmp_path).set_index(["fault", "number"])
    assert list(table.loc["none"]["twice"]) == [2, 4]
    assert table.loc["nan"]["twice"].isna().all()
    assert set(table.loc[["none", "nan"]]["verdict"]) == {"SAT"}
    failed = table.loc[list(faults)]
    assert set(failed["verdict"]) == {"ERROR"}
    expected = ["ArithmeticError: the ground", "MemoryError: no room", "ValueError: .* got 0", "row.'twice'"]
    expected += ["SystemExit: enough", "CancelledError: cancelled", "RecursionError", "UserWarning: too warm"]
    expected += [r"expected 1 times Result, got 1 of \['NoneType'\]"]
    for fault, text in zip(faults, expected, strict=True):
        assert table.loc[fault]["error"].str.contains(text).all(), fault
    assert "toy_faults.py" in table.loc[("raise", 1)]["error"]  # where it happened


def test_failed_runs_are_repeated_only_on_demand(tmp_path, monkeypatch):
    configs = faulty("none", "raise", number=(1, 2))
    first = serial(toy_faults, configs, tmp_path)
    monkeypatch.setattr(toy_faults, "run", lambda configs: [toy_faults.Result({"twice": 7}) for _ in configs])
    same(serial(toy_faults, configs, tmp_path), first)
    table = serial(toy_faults, configs, tmp_path, retry_failed=True)
    assert list(table["twice"]) == [2, 7, 4, 7]
    assert table["error"].isna().all()


def test_an_interruption_is_no_failure(tmp_path, monkeypatch):
    run, calls = toy_noise.run, []

    def interrupted(configs):
        calls.append(configs)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(configs)

    monkeypatch.setattr(toy_noise, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        serial(toy_noise, FAST, tmp_path)
    assert len(Table.load(tmp_path)) == 7
    table = serial(toy_noise, FAST, tmp_path)  # without waiting for a lock
    assert len(calls) == 5
    monkeypatch.undo()
    same(table, serial(toy_noise, FAST, tmp_path / "twin"))


def test_a_sweep_killed_twice_ends_with_the_same_bits(tmp_path, uninterrupted):
    directory, left = tmp_path / "runs", [0]
    for _ in range(2):
        process = others.Process(target=sweep_noise, args=(directory,))
        process.start()
        while not directory.exists() or len(run_hashes(directory)) < left[-1] + 30:
            assert process.is_alive()
            time.sleep(0.001)
        process.kill()
        process.join()
        left.append(len(run_hashes(directory)))
    assert left[-1] < 200, "the kills came too late to mean anything"
    sweep_noise(directory)
    same(Table.load(directory), Table.load(uninterrupted))
    assert len(Table.load(directory)) == 200
    assert not [name for name in os.listdir(directory) if name.startswith(".") and name != LOCKS]


def test_two_processes_share_the_work(tmp_path, uninterrupted):
    directory, log = tmp_path / "runs", tmp_path / "log"
    processes = [others.Process(target=sweep_noise, args=(directory, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    same(Table.load(directory), Table.load(uninterrupted))
    done = [line.split() for line in log.read_text().splitlines()]
    assert len(done) == len({tuple(run) for _, *run in done}) == 200  # once each
    shares = Counter(process for process, *_ in done)
    assert len(shares) == 2
    assert min(shares.values()) >= 20


def test_a_locked_batch_is_waited_for_and_taken_over(tmp_path):
    (batch,) = batches(toy_noise, FAST[:5])
    lock = try_lock(tmp_path / LOCKS, batch.id)
    assert lock is not None
    release = threading.Timer(1.5, lock.__exit__, (None, None, None))
    begin = time.monotonic()
    release.start()
    table = serial(toy_noise, FAST[:5], tmp_path)
    assert time.monotonic() - begin > 1.4
    assert len(table) == 5
    assert os.listdir(tmp_path / LOCKS) == []


class Deadly(Serial):
    """A process pool in which a batch with a "killed" run kills its worker, and the others with it."""

    workers = 2

    def __init__(self) -> None:
        self.killed, self.held = [], []

    def submit(self, fn, /, *args, **kwargs):
        (job,) = args
        future: Future = Future()
        names = job.hashes
        deadly = [
            values["number"]
            for name, values in zip(job.batch.hashes, job.batch.configs, strict=True)
            if values["fault"] == "killed" and name in names
        ]
        if deadly:
            self.killed.append(job)
            broken = [*self.held, future]
            self.held = []
            for each in broken:
                each.set_exception(BrokenExecutor("a process died"))
            return future
        if not self.held and not self.killed:  # the first runs when the next one kills the pool
            self.held.append(future)
            return future
        return super().submit(fn, *args, **kwargs)


def test_a_config_that_kills_its_worker_is_recorded_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_faults, "batch_key", lambda config: config.number)
    configs = faulty("none", "killed", "nan", number=(2,))
    configs = faulty("none", number=(1,)) + configs + faulty("none", number=(3, 4))
    executor = Deadly()
    table = sweep(toy_faults, configs, tmp_path, executor=executor, progress=False)
    assert len(executor.killed) == module.MAX_CRASHES + 1  # thrice with the others, and once more alone
    assert list(table["number"][table["error"].notna()]) == [2]
    assert table["error"].dropna().iloc[0].startswith("the process that ran it died")
    assert list(table["twice"].dropna()) == [2, 4, 6, 8]


def test_other_errors_of_a_worker_stop_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "run_job", lambda job: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        serial(toy_noise, FAST, tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CancelledError(), r"the workers are lost: their scheduler has ended.*same call continues"),
        (
            ModuleNotFoundError("No module named 'symnets'"),
            r"need the same symnets: No module named 'symnets'",
        ),
        (RuntimeError("cannot\ndeserialise"), r"cannot run this sweep.*: cannot deserialise"),
    ],
)
def test_errors_of_a_cluster_are_explained(tmp_path, monkeypatch, error, message):
    monkeypatch.setattr(module, "run_job", lambda job: (_ for _ in ()).throw(error))
    with pytest.raises(OSError, match=message):
        serial(toy_noise, FAST, tmp_path)


def test_a_worker_that_lacks_the_experiment_or_the_directory_says_so(tmp_path):
    (batch,) = batches(toy_noise, FAST[:5])
    with pytest.raises(
        ImportError, match=r"a worker \(process \d+ on .*cannot import walk: unknown exp.*PYTHONPATH"
    ):
        run_job(Job("walk", str(tmp_path), batch))
    with pytest.raises(FileNotFoundError, match=r"nowhere: a worker on .* does not see this directory"):
        run_job(Job("tests.sweeps.toy_noise", str(tmp_path / "nowhere"), batch))


class Idle(Serial):
    """An executor in trouble: it says so, and computes nonetheless."""

    def trouble(self) -> str:
        return "there are no workers"


def test_trouble_of_workers_is_told(tmp_path, capsys):
    sweep(toy_noise, FAST[:5], tmp_path, executor=Idle())
    assert capsys.readouterr().err.count("there are no workers") == 1
    with pytest.warns(RuntimeWarning, match="there are no workers"):
        sweep(toy_noise, FAST[5:10], tmp_path, executor=Idle(), progress=False)


def test_a_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file: expected a directory"):
        serial(toy_noise, FAST, tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="no such directory"):
        Table.load(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        serial(toy_noise, FAST, tmp_path / "runs")


def test_a_damaged_run_is_named_before_anything_is_computed(tmp_path, monkeypatch):
    name = serial(toy_noise, FAST, tmp_path).index[2]
    (tmp_path / name / "row.json").write_text("{")
    remove_runs(tmp_path, [n for n in run_hashes(tmp_path) if n != name])
    monkeypatch.setattr(toy_noise, "run", None)
    with pytest.raises(ValueError, match=f"{name}.*delete it"):
        serial(toy_noise, FAST, tmp_path)


def test_configs_of_another_experiment_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"expected configs of tests\.sweeps\.toy_noise\.Config"):
        serial(toy_noise, [toy_faults.Config()], tmp_path)
    monkeypatch.setattr(toy_noise, "batch_key", lambda config: [config.length])
    with pytest.raises(ValueError, match="batch_key: expected a hashable value"):
        serial(toy_noise, FAST, tmp_path)


def test_tables_can_be_written_and_read_elsewhere(tmp_path):
    table = serial(toy_noise, FAST, tmp_path / "runs")
    for name, read in (("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)):
        write_table(table, tmp_path / name)
        assert np.array_equal(read(tmp_path / name)["mean"], table["mean"])
    with pytest.raises(ValueError, match=r"ends in \.csv or \.parquet"):
        write_table(table, tmp_path / "t.xls")


@dataclass(frozen=True)
class Mixed:
    rule: str | None = None
    width: float | None = None
    seed: int = 0


def test_tables_are_sorted_by_configuration_whatever_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_noise, "Config", Mixed)
    monkeypatch.setattr(toy_noise, "batch_key", lambda config: 0)
    monkeypatch.setattr(toy_noise, "run", lambda configs: [toy_noise.Result({}) for _ in configs])
    configs = grid(Mixed, rule=("b", None, "a"), width=(2, None, 1.5), seed=(10, 9))
    table = serial(toy_noise, configs, tmp_path)
    assert set(run_hashes(tmp_path)) == set(table.index)
    loaded = Table.load(tmp_path)
    assert list(loaded["seed"][:2]) == [9, 10]
    assert [value for value in loaded["rule"].iloc[::6] if isinstance(value, str)] == ["a", "b"]


@pytest.mark.slow
def test_a_sweep_on_processes_survives_kill_9(tmp_path, uninterrupted, monkeypatch):
    """First the sweep itself is killed, whose workers end with it, then a worker."""
    directory, log = tmp_path / "runs", tmp_path / "log"
    configs = toy_noise.PRESETS["paper"]
    process = others.Process(target=sweep_on_processes, args=(directory,))
    process.start()
    while not directory.exists() or len(run_hashes(directory)) < 20:
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    time.sleep(0.5)
    left = len(run_hashes(directory))
    time.sleep(1.0)
    assert len(run_hashes(directory)) == left < 200, "workers outlived their sweep"
    monkeypatch.setenv("TOY_LOG", str(log))
    killer = threading.Thread(target=kill_a_worker, args=(directory, log, left + 20), daemon=True)
    killer.start()
    table = sweep(toy_noise, configs, directory, progress=False)
    killer.join(10)
    assert not killer.is_alive(), "no worker was killed"
    assert len(table) == 200
    same(Table.load(directory), Table.load(uninterrupted))


def sweep_on_processes(directory: Path) -> None:
    """Two hundred runs on two processes."""
    with Processes(2) as executor:
        sweep(toy_noise, toy_noise.PRESETS["paper"], directory, executor=executor, progress=False)


def kill_a_worker(directory: Path, log: Path, n_runs: int) -> None:
    """Kills the process that wrote the last line of the log, once there are so many runs."""
    while not directory.exists() or len(run_hashes(directory)) < n_runs:
        time.sleep(0.001)
    os.kill(int(log.read_text().splitlines()[-1].split()[0]), signal.SIGKILL)
