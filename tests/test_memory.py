"""What is freed is there for the next array. The setting is of a process: each has one of its own."""

import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from symnets.memory import keep_memory
torch.set_num_threads(1)
if {keep}:
    assert keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(25_000_000).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(40)][-1])  # some go by until the free pieces fit
"""


def page_faults(keep: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the setting is glibc's")
def test_arrays_of_100_mb_touch_no_new_pages():
    assert page_faults(keep=False) > 1000
    assert page_faults(keep=True) < 1000
