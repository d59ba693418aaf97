"""`keep_memory` reuses freed memory. The setting holds for a process, so each test starts processes."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from symnets.memory import keep_memory
torch.set_num_threads(1)
if {keep} and not keep_memory():
    raise SystemExit("this C library cannot be told")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(25_000_000).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(40)][-1])  # some go by until the free pieces fit
"""


def page_faults(keep: bool) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT.format(keep=keep)], capture_output=True, text=True)
    if "cannot be told" in done.stderr:
        pytest.skip("the setting is glibc's")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the setting is glibc's")
def test_new_arrays_of_100_mb_reuse_freed_pages():
    kept, given_back = page_faults(keep=True), page_faults(keep=False)
    if given_back < 1000:
        pytest.skip(f"pages are large here: 100 MB are {given_back} of them")
    assert kept < given_back / 10
