"""Tests of this folder compare a GPU with the CPU: `pytest -m cuda`.

Without a GPU they are skipped. SYMNETS_TEST_DEVICE=cpu compares the CPU with itself, to check the tests.
"""

import os
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.cuda)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device that is compared with the CPU: cuda, or SYMNETS_TEST_DEVICE."""
    device = torch.device(os.environ.get("SYMNETS_TEST_DEVICE", "cuda"))
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device: torch.cuda.is_available() is False")
    return device
