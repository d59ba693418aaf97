"""A sweep runs on a Dask cluster, and a worker killed midway costs no row."""

import threading

import pytest
from pandas.testing import assert_frame_equal

from symnets.sweeps import Serial, executor, sweep
from symnets.sweeps._locks import LOCKS
from tests.sweeps import toy_noise
from tests.sweeps.test_sweep import kill_a_worker

distributed = pytest.importorskip("distributed")
CONFIGS = toy_noise.PRESETS["paper"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed", "ignore:Port 8787 is already in use")
def test_a_worker_killed_midway_costs_no_row(tmp_path, monkeypatch):
    expected = sweep(toy_noise, CONFIGS, tmp_path / "serial", executor=Serial(), progress=False)
    directory, log = tmp_path / "dask", tmp_path / "log"
    monkeypatch.setenv("TOY_LOG", str(log))
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        killer = threading.Thread(target=kill_a_worker, args=(directory, log, 40), daemon=True)
        killer.start()
        with executor(cluster.scheduler_address.replace("tcp://", "dask://")) as workers:
            table = sweep(toy_noise, CONFIGS, directory, executor=workers, progress=False)
        killer.join(10)
        assert not killer.is_alive(), "no worker was killed"
    assert_frame_equal(
        table.drop(columns=["seconds", "commit"]), expected.drop(columns=["seconds", "commit"])
    )
    assert len(table) == 200
    assert [path.name for path in (directory / LOCKS).iterdir()] == []


def test_a_scheduler_that_is_not_there_is_an_error():
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(OSError, match=r"127\.0\.0\.1:1"),
        executor("dask://127.0.0.1:1"),
    ):
        pass
