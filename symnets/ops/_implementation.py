"""Whether a call is only traced.

Which implementation of an operation is taken, and whether its tensors fit together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor


def transformed() -> bool:
    """Inside torch.func transforms and torch.compile, where tensors hold no memory that loops of ours could
    read, and custom functions have no rules."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]
    return inside or torch.compiler.is_compiling()


Implementation = Literal["auto", "fused", "plain"]
"""Compiled loops on the CPU, plain torch anywhere, or the loops where they can be taken."""


def one_of(name: str, given: str, known: Any) -> None:
    """Refuses options that a `Literal` does not have."""
    if given not in get_args(known):
        raise ValueError(f"{name}: expected one of {', '.join(get_args(known))}, got {given!r}")


def fusable(features: Tensor) -> bool:
    """Whether the compiled loops can take a tensor."""
    on_cpu = features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64)
    return on_cpu and not transformed()


def takes_fused(implementation: str, features: Tensor) -> bool:
    """Whether the compiled loops are to be taken.

    Raises:
        ValueError: they are asked for and cannot take the features.
    """
    if implementation == "auto":
        return fusable(features)
    if implementation == "fused" and not fusable(features):
        raise ValueError(
            'implementation "fused": expected float32 or float64 on the CPU, outside of torch.func '
            f'and torch.compile, got {features.dtype} on {features.device}; take "auto" or "plain"'
        )
    return implementation == "fused"


def check_edges(edge_index: Tensor, pair: Tensor | None) -> None:
    """Refuses edges that are not numbers of nodes, and pairs that are not one for each edge."""
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            "edge_index: expected shape (2, edges) and dtype torch.int64, "
            f"got {tuple(edge_index.shape)} and {edge_index.dtype}"
        )
    if pair is not None and (pair.shape != edge_index.shape[1:] or pair.dtype != torch.int64):
        raise ValueError(
            f"pair: expected shape {tuple(edge_index.shape[1:])} and dtype torch.int64, "
            f"got {tuple(pair.shape)} and {pair.dtype}"
        )


def check_tables(features: Tensor, tables: Mapping[str, tuple[Tensor, Sequence[int]]]) -> None:
    """Refuses tensors of another shape than they should have, or of another dtype or device than features."""
    for name, (tensor, shape) in tables.items():
        fits = tensor.dtype == features.dtype and tensor.device == features.device
        if tensor.shape != shape or not fits:
            raise ValueError(
                f"{name}: expected shape {tuple(shape)} and dtype {features.dtype} on {features.device}, "
                f"got {tuple(tensor.shape)} and {tensor.dtype} on {tensor.device}"
            )
