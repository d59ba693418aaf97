"""Whether a call is only traced."""

import torch


def transformed() -> bool:
    """Inside torch.func transforms and torch.compile, where tensors hold no memory that loops of ours could
    read, and custom functions have no rules."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]
    return inside or torch.compiler.is_compiling()
