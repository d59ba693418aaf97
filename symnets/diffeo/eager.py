"""Eager: whether torch works on numbers at once, and whether anyone wants their derivatives."""

import torch
from torch import Tensor
from torch.autograd import forward_ad


def at_once() -> bool:
    """Whether operations run as they are called, on tensors that hold numbers.

    Not so while torch compiles or traces, inside of `torch.func` transforms, and under fake or counting
    tensors: what is made there may not outlive it.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
        return False
    c = torch._C
    return c._functorch.peek_interpreter_stack() is None and c._len_torch_dispatch_stack() == 0  # pyright: ignore[reportAttributeAccessIssue]


def values_suffice(*tensors: Tensor) -> bool:
    """Whether of a function of these tensors all that is asked for are its values."""
    if not at_once():
        return False
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        return False
    return all(forward_ad.unpack_dual(tensor).tangent is None for tensor in tensors)
