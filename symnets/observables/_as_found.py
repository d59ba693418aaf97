"""Context manager that restores the modes of a model and torch's random state after a measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def as_found(model: nn.Module, *, buffers: bool = False) -> Iterator[None]:
    """Restores the train or eval mode of every submodule and torch's random states on exit.

    Random states are those of the CPU and of the GPUs on which the model has parameters. Inside, call
    `model.eval()` and `torch.no_grad()` as the observable needs.

    Args:
        model: any module.
        buffers: whether to restore buffers too, for measurements that update running statistics.

    Example:
        >>> model = nn.Dropout().train()
        >>> with as_found(model):
        ...     _ = model.eval()(torch.ones(3))
        >>> model.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    saved = [(buffer, buffer.clone()) for buffer in model.buffers()] if buffers else []
    on_gpu = [p for p in model.parameters() if p.is_cuda] if torch.cuda.is_available() else []
    gpus = sorted({parameter.get_device() for parameter in on_gpu})
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in saved:
                buffer.copy_(before)
