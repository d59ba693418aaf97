"""Which derivatives a backward pass is on its way to use."""

from typing import Any

import torch


def wanted(ctx: Any) -> tuple[bool, ...]:
    """For each tensor argument of a custom function, in its backward: whether its derivative will be used.

    `ctx.needs_input_grad` tells what requires a gradient, weights included, though forces ask for that of
    positions alone; the engine knows what it was asked for.
    """
    nodes = [node for node, _ in ctx.next_functions]
    return tuple(need and _executed(node) for need, node in zip(ctx.needs_input_grad, nodes, strict=False))


def _executed(node: Any) -> bool:
    try:
        return torch._C._will_engine_execute_node(node)  # pyright: ignore[reportAttributeAccessIssue]
    except RuntimeError:  # a leaf of which `torch.autograd.grad` was asked for the derivative
        return True
