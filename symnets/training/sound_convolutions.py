"""A guard against memory that convolutions corrupt."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def sound_convolutions() -> Iterator[None]:
    """Within, convolutions on processors that have AVX2 and nothing wider do without oneDNN.

    Its backward pass of narrow nets writes where it must not there: training a small ResNet ended in
    "corrupted double-linked list" in most attempts with torch 2.13 on such a processor, and in none without
    oneDNN, nor with its instructions restricted to SSE4.1. Where there is AVX-512 nothing changes, nor does
    anything on a GPU, which has convolutions of its own.
    """
    before = torch.backends.mkldnn.enabled
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        torch.backends.mkldnn.enabled = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # pyright: ignore[reportAttributeAccessIssue]
