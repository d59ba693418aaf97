"""A model in the mode in which it is measured, and left as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from symnets.observables.as_found import as_found

BatchNorm = Literal["running", "batch"]


@contextmanager
def evaluation(model: nn.Module, batch_norm: BatchNorm = "running") -> Iterator[None]:
    """Eval mode without gradients; afterwards modes, buffers and torch's random states are as before.

    Args:
        model: any module.
        batch_norm: what batch normalisations use, "running" statistics or those of each "batch".
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    gpus = sorted({tensor.get_device() for tensor in model.parameters() if tensor.is_cuda})
    with as_found(model), torch.random.fork_rng(devices=gpus), torch.no_grad():
        try:
            model.eval()
            if batch_norm == "batch":
                for module in model.modules():
                    if isinstance(module, _BatchNorm):
                        module.train()
            yield
        finally:
            for buffer, before in buffers:  # running statistics moved in "batch"
                buffer.copy_(before)
