"""Devices: what cannot be used is refused before any work."""

import pytest
import torch

from symnets.device import deterministic_algorithms, model_device, usable_device


def test_the_cpu_is_always_there():
    assert usable_device("cpu") == usable_device(torch.device("cpu")) == torch.device("cpu")


def test_auto_is_a_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda n, device: torch.tensor([1.0]))
    assert usable_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["foo", "", "meta", "hpu", "cuda:99"])
def test_what_cannot_be_used_is_named_with_what_can(name):
    with pytest.raises(ValueError, match=rf"device: expected one that torch .* \(cpu.*got '{name}'"):
        usable_device(name)


@pytest.mark.parametrize(("version", "advice"), [(None, "without CUDA; install"), ("13.0", "nvidia-smi")])
def test_why_there_is_no_cuda_is_told(monkeypatch, version, advice):
    def refuse(n, device):
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch, "ones", refuse)
    with pytest.raises(ValueError, match=rf"got 'cuda': .*{advice}"):
        usable_device("cuda")


@pytest.mark.parametrize(("device", "inside"), [("cpu", False), ("cuda", True)])
def test_deterministic_algorithms_are_set_for_a_gpu_and_restored(monkeypatch, device, inside):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with deterministic_algorithms(torch.device(device)):
        assert torch.are_deterministic_algorithms_enabled() == inside
        assert torch.is_deterministic_algorithms_warn_only_enabled() == inside
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_a_model_is_on_the_device_of_its_parameters():
    assert model_device(torch.nn.Linear(1, 1, device="meta"), "cpu") == torch.device("meta")
    assert model_device(torch.nn.ReLU()) == torch.device("cpu")
    assert model_device(torch.nn.ReLU(), torch.device("meta")) == torch.device("meta")
