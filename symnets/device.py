"""Devices by name, the devices of models and of new tensors, and sums on a GPU in a fixed order."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


def usable_device(name: str | torch.device) -> torch.device:
    """A torch device by its name, if this machine can compute on it.

    Args:
        name: such as "cpu", "cuda" or "cuda:1"; "auto" means "cuda" if there is a CUDA device, else "cpu".

    Raises:
        ValueError: no device has this name, or this machine or this build of torch cannot use it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        # The value of a sum is read: the meta device can hold a tensor, but not its value.
        (torch.ones(1, device=device) + 1).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        usable = ["cpu"]
        if torch.cuda.is_available():
            usable += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            usable.append("mps")
        raise ValueError(
            f"device: expected one that torch {torch.__version__} can use on this machine "
            f"({', '.join(usable)}, or auto), got {str(name)!r}: {_reason(str(name), error)}"
        ) from error
    return device


def on_device(device: str | torch.device) -> AbstractContextManager[Any]:
    """Context in which new tensors are made on a device, whatever default the caller has set."""
    device = torch.device(device)
    return nullcontext() if torch.get_default_device() == device else device


def model_device(model: nn.Module, default: str | torch.device = "cpu") -> torch.device:
    """Device of the first parameter of a model.

    Args:
        model: any module.
        default: the device for a model without parameters.
    """
    return next((parameter.device for parameter in model.parameters()), torch.device(default))


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """Context in which a GPU sums in a fixed order, with a warning where torch has no algorithm for it.

    On other devices it changes nothing: sums on the CPU have a fixed order anyway.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by torch
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def _reason(name: str, error: Exception) -> str:
    """Why a device cannot be used, and what to do."""
    if name.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None:
            return "this build of torch is without CUDA; install one with it, or take the CPU"
        return "torch finds no NVIDIA GPU with a driver it can use (nvidia-smi lists them); take the CPU"
    return str(error).partition("\n")[0] or type(error).__name__
