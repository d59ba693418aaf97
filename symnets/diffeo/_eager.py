"""Whether torch executes operations eagerly, and whether derivatives of tensors are required."""

import torch
from torch import Tensor
from torch.autograd import forward_ad

from symnets.ops import is_traced


def is_eager() -> bool:
    """Whether operations are executed as they are called, on tensors that hold numbers.

    False while torch compiles or traces, inside `torch.func` transforms, and under fake or counting tensors:
    tensors made there must not be cached, because they are invalid afterwards.
    """
    if is_traced() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return False
    return torch._C._len_torch_dispatch_stack() == 0  # pyright: ignore[reportAttributeAccessIssue]


def no_derivatives(*tensors: Tensor) -> bool:
    """Whether torch is eager and no derivative with respect to any of the tensors is required."""
    if not is_eager():
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    return all(forward_ad.unpack_dual(tensor).tangent is None for tensor in tensors)
