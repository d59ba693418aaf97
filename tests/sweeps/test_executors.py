"""Worker processes are replaced when killed, ignore Ctrl-C, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from types import SimpleNamespace

import pytest

from symnets.sweeps import Serial, executor
from symnets.sweeps._executors import Dask, Processes
from tests.sweeps.processes import ends, is_dead


def test_serial_runs_at_once_in_this_process():
    with executor("serial") as serial:
        future = serial.submit(os.getpid)
        assert future.done()
        assert future.result() == os.getpid()
        assert isinstance(serial.submit(int, "x").exception(), ValueError)
        with pytest.raises(KeyboardInterrupt):
            serial.submit(signal.raise_signal, signal.SIGINT)


def test_a_killed_process_is_replaced():
    with Processes(1) as processes:
        pid = processes.submit(os.getpid).result()
        with pytest.raises(BrokenExecutor):
            processes.submit(os.kill, pid, signal.SIGKILL).result()
        again = processes.submit(os.getpid).result()
        assert again not in (pid, os.getpid())
        os.kill(again, signal.SIGKILL)  # while it is idle
        assert ends(again)
        for _ in range(3):
            try:
                assert processes.submit(abs, -1).result() == 1
                break
            except BrokenExecutor:  # the pool noticed just after it took the call
                continue
        else:
            pytest.fail("no new process came")


def test_processes_ignore_ctrl_c():
    with Processes(1) as processes:
        pid = processes.submit(os.getpid).result()
        future = processes.submit(time.sleep, 0.2)
        os.kill(pid, signal.SIGINT)
        assert future.result() is None
        assert processes.submit(os.getpid).result() == pid


def test_an_exception_ends_processes_at_once():
    begin = time.monotonic()
    processes = Processes(1)
    pid = processes.submit(os.getpid).result()
    future = processes.submit(time.sleep, 60)
    with pytest.raises(KeyboardInterrupt), processes:
        raise KeyboardInterrupt
    assert time.monotonic() - begin < 30
    assert ends(pid)
    assert future.done()


def test_processes_end_with_the_one_that_started_them(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "from symnets.sweeps._executors import Processes\n"
        "if __name__ == '__main__':\n"
        "    processes = Processes(1)\n"
        "    print(processes.submit(os.getpid).result(), flush=True)\n"
        "    processes.submit(time.sleep, 60)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert not is_dead(worker)
        parent.kill()
    assert ends(worker)


def test_a_script_without_a_main_guard_gets_an_explanation(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\nfrom symnets.sweeps._executors import Processes\nProcesses(1).submit(os.getpid)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "RuntimeError: worker processes cannot be started; a script that calls sweep" in done.stderr


def test_no_more_processes_than_asked_for():
    with Processes(2) as processes:
        assert processes.workers == 2
        slow = [processes.submit(time.sleep, 0.3) for _ in range(2)]
        pids = {future.result() for future in [processes.submit(os.getpid) for _ in range(20)]}
        assert 1 <= len(pids) <= 2
        assert all(future.done() for future in slow) or len(pids) == 1


@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [
        ("locale", None, "expected local, serial or dask://HOST:PORT, got 'locale'"),
        ("serial", 2, "--workers goes with --executor local"),
        ("dask://localhost", None, "expected local, serial or dask://HOST:PORT, got 'dask://localhost'"),
        ("local", 0, "workers: expected at least 1, got 0"),
    ],
)
def test_executors_that_do_not_exist(name, workers, message):
    with pytest.raises(ValueError, match=message), executor(name, workers):
        pass


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'symnets\[dask\]'"), executor("dask://node:8786"):
        pass


@pytest.mark.parametrize(
    ("status", "workers", "said"),
    [
        ("running", {"tcp://a:1": 1}, None),
        ("running", {}, "the scheduler tcp://s:1 has no workers; waiting for some"),
        ("connecting", {}, "the connection to the scheduler tcp://s:1 is lost"),
    ],
)
def test_dask_says_why_nothing_is_computed(status, workers, said):
    client = SimpleNamespace(
        status=status,
        scheduler=SimpleNamespace(address="tcp://s:1"),
        nthreads=lambda: workers,
        get_executor=lambda pure: None,
    )
    trouble = Dask(client).trouble()
    assert trouble is None if said is None else str(trouble).startswith(said)


def test_serial_is_an_executor():
    with Serial() as serial:
        assert list(serial.map(abs, [-1, -2])) == [1, 2]
