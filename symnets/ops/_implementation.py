"""Choice between the implementations of an operation, and checks of its arguments."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor


def is_traced() -> bool:
    """Whether the call is within a torch.func transform or torch.compile.

    Tensors there have no memory that compiled loops could read, and the autograd functions of the loops
    define no rules for transforms.
    """
    return torch.compiler.is_compiling() or is_transformed()


def is_transformed() -> bool:
    """Whether the call is within a torch.func transform."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore[reportAttributeAccessIssue]


def without_autocast() -> AbstractContextManager[object]:
    """Context in which products of matrices on the CPU keep the dtype of their factors.

    The compiled loops need all arguments in one dtype. Costs nothing where autocast is off. Products that
    are written to an existing tensor (`out=`, in-place) are never cast.
    """
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


Implementation = Literal["auto", "fused", "plain"]
"""Compiled loops on the CPU ("fused"), torch on any device ("plain"), or "fused" where possible ("auto")."""


def check_option(name: str, value: str, literal: Any) -> None:
    """Raise ValueError for a value that a `Literal` type does not contain."""
    if value not in get_args(literal):
        raise ValueError(f"{name}: expected one of {', '.join(get_args(literal))}, got {value!r}")


def can_fuse(features: Tensor) -> bool:
    """Whether the compiled loops accept a tensor."""
    on_cpu = features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64)
    return on_cpu and not is_traced()


def use_fused(implementation: str, features: Tensor) -> bool:
    """Whether to use the compiled loops.

    Raises:
        ValueError: `implementation` is "fused", and the loops do not accept the features.
    """
    if implementation == "auto":
        return can_fuse(features)
    if implementation == "fused" and not can_fuse(features):
        raise ValueError(
            'implementation "fused": expected float32 or float64 on the CPU, outside of torch.func '
            f'and torch.compile, got {features.dtype} on {features.device}; use "auto" or "plain"'
        )
    return implementation == "fused"


def check_edges(edge_index: Tensor, pair: Tensor | None) -> None:
    """Raise ValueError unless `edge_index` is (2, edges) and `pair` (edges,), both int64."""
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


def check_tensors(features: Tensor, expected: Mapping[str, tuple[Tensor, Sequence[int]]]) -> None:
    """Raise ValueError for a wrong shape, or a dtype or device that differs from that of the features.

    Args:
        features: reference for dtype and device.
        expected: tensor and its expected shape, by name of the argument.
    """
    for name, (tensor, shape) in expected.items():
        fits = tensor.dtype == features.dtype and tensor.device == features.device
        if tensor.shape != shape or not fits:
            raise ValueError(
                f"{name}: expected shape {tuple(shape)} and dtype {features.dtype} on {features.device}, "
                f"got {tuple(tensor.shape)} and {tensor.dtype} on {tensor.device}"
            )
