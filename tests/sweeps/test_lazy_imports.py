"""Reading a table does not wait for torch, and workers of landscape experiments do not import PyG."""

import subprocess
import sys

import pytest

from symnets.sweeps import Serial, grid, sweep
from tests.sweeps import toy_noise


def imported(code: str, *packages: str) -> set[str]:
    """Which packages a fresh process has imported after running some code."""
    script = f"import os, sys\n{code}\nprint(*(name for name in {packages!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_runner_is_imported_without_torch_and_pandas():
    assert imported("import symnets.sweeps", "torch", "torch_geometric", "pandas", "matplotlib") == set()


def test_a_table_is_read_and_written_without_torch_and_matplotlib(tmp_path):
    sweep(toy_noise, grid(toy_noise.Config, seed=range(3)), tmp_path, executor=Serial(), progress=False)
    code = f"from symnets.sweeps import Table; assert len(Table.load({str(tmp_path)!r})) == 3"
    assert imported(code, "torch", "torch_geometric", "matplotlib", "scipy", "rich", "pandas") == {"pandas"}
    code = (
        f"from symnets.cli import main; main(['table', {str(tmp_path)!r}, '-o', {str(tmp_path / 't.csv')!r}])"
    )
    assert imported(code, "torch", "torch_geometric", "matplotlib", "scipy", "pandas") == {"pandas"}


@pytest.mark.slow
def test_a_worker_of_landscape_experiments_does_not_import_pyg(tmp_path):
    code = (
        "from dataclasses import replace\n"
        "from symnets.sweeps import Table, batches, find\n"
        "from symnets.sweeps._worker import Job, run_job\n"
        "for name in ('jamming_sharpness', 'double_descent'):\n"
        "    experiment = find(name)\n"
        "    config = experiment.PRESETS['quick'][0]\n"
        "    config = replace(config, n_train=20, width=4, steps=3, data='random', dim=4)\n"
        "    (batch,) = batches(experiment, [config])\n"
        f"    folder = {str(tmp_path)!r} + '/' + name\n"
        "    os.mkdir(folder)\n"
        "    run_job(Job(name, folder, batch))\n"
        "    assert Table.load(folder)['error'].isna().all()\n"
    )
    assert imported(code, "torch", "torch_geometric", "e3nn", "ase") == {"torch"}
