"""Devices: what cannot be used is refused before any work."""

import pytest
import torch

from symnets.experiments.device import usable_device


def test_the_cpu_is_always_there():
    assert usable_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["foo", "", "meta", "hpu", "cuda:99"])
def test_what_cannot_be_used_is_named_with_what_can(name):
    with pytest.raises(ValueError, match=rf"device: expected one that torch .* \(cpu.*got '{name}'"):
        usable_device(name)
