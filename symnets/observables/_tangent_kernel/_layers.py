"""Tangent kernel layer by layer, for nets of linear, convolutional and normalising layers."""

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from symnets.memory import check_memory
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._tangent_kernel._layer_calls import NotLayerwise, check_layers, forward_calls
from symnets.observables._tangent_kernel._layer_factors import (
    Factors,
    Outer,
    joined,
    norm_gradients,
    outer_products_of,
    products,
)

MEMORY = 2**29
"""Bytes for the gradients or patches of a block of patterns, and again as many for temporaries."""
FACTORS = (1.0, -2.0, 4.0, -0.5, 2.0, -1.0, 0.5)
"""Factors of the outputs of successive patterns in the check that patterns do not interact."""


def layerwise_kernel(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    outputs: Literal["full", "trace", "sum"] = "full",
    memory: int = MEMORY,
) -> Tensor | None:
    """Tangent kernel of a single net from inputs and derivatives of its layers; None if it needs autodiff.

    Let p_s be the patch that position s of a layer reads, and d_s the derivative of an output of the net with
    respect to the layer's output at this position. The gradient with respect to the layer's weight is
    Σ_s d_s p_s^T, and its contribution to the kernel of two patterns is

        Σ_(s, s') (p_s · p'_s') (d_s · d'_s')      or      (Σ_s d_s p_s^T) · (Σ_s' d'_s' p'_s'^T),

    whichever takes fewer operations: with S positions, patches of p entries and q channels of the output,
    S² (p + q) for the left one and p q for the right one. A bias is one more entry of all patches, with the
    value 1. Memory is bounded: gradients exist for one block of rows and one of columns.

    Each trained parameter must be the weight or bias of one unmodified `nn.Linear`, `nn.Conv1d` to `3d`,
    batch normalisation in eval mode, layer or group normalisation, which the forward pass calls once; or the
    net is a `Convolutional` without an axis of members. Layers without parameters are arbitrary, as long as
    they do not mix patterns, which is checked by a backward pass with different factors of the outputs.

    Args:
        model: outputs (n,) or (n, C).
        x1: patterns of the rows.
        x2: patterns of the columns; None for those of the rows.
        outputs: for C > 1, "full" (n1, n2, C, C), "trace" (n1, n2): the mean of the C diagonal entries, or
            "sum" (n1, n2): the sum of all entries divided by C.
        memory: bytes for the gradients of a block of rows, and again for temporaries.
    """
    one_dtype = {p.dtype for p in model.parameters()}
    if not isinstance(x1, Tensor) or len(one_dtype) != 1 or torch.is_autocast_enabled(x1.device.type):
        return None
    try:
        with torch.inference_mode(False), as_found(model), torch.enable_grad():
            check_layers(model)
            return _kernel(model, x1, x2, outputs, memory)
    except NotLayerwise:
        return None


def _kernel(model: nn.Module, x1: Tensor, x2: Tensor | None, outputs: str, memory: int) -> Tensor:
    columns_x = x1 if x2 is None else x2
    n1, n2 = len(x1), len(columns_x)
    if min(n1, n2) == 0 or columns_x.shape[1:] != x1.shape[1:]:
        raise NotLayerwise("there are no patterns, or patterns of two sizes")
    f, calls = forward_calls(model, copy_inputs(x1[:2]))
    n_outputs = f.numel() // len(f)
    probe = _factors(model, x1[:2], outputs, n1, check=True)
    numbers = sum(3 * call.inputs.numel() + (3 + n_outputs) * math.prod(call.shape) for call in calls)
    numbers += max((call.n_patch_entries for call in calls), default=0)
    peak = probe.n_bytes + numbers * f.element_size()
    del f, calls
    n_rows = max(2, min(n1, int(memory * len(probe) / (2 * probe.n_bytes))))
    c = probe.gradients.shape[1]
    pair = probe.gradients.element_size() * n_rows * c * c * 3
    n_columns = max(2, min(n_rows, int(memory * len(probe) / peak), memory // pair, max(64, n_rows // 8)))

    if x1.device.type == "cpu":
        size = n1 * n2 * c * c * probe.gradients.element_size()
        check_memory(f"tangent_kernel: a kernel of {n1} x {n2} points", size, "take fewer points")
    kernel = probe.gradients.new_empty((n1, n2, c, c))
    for start in range(0, n1, n_rows):
        stop = min(n1, start + n_rows)
        cuts = [*range(start, stop, n_columns), stop]
        parts = [_factors(model, x1[i:j], outputs, n1, check=i == 0) for i, j in pairwise(cuts)]
        rows = joined(parts)
        del parts
        if x2 is None:
            for i, j in pairwise(cuts):  # the upper triangle of the square block
                block = products(rows[: j - start], rows[i - start : j - start], memory)
                _write(kernel, start, i, block, True)
        for i in range(stop if x2 is None else 0, n2, n_columns):
            columns = _factors(model, columns_x[i : i + n_columns], outputs, n1)
            _write(kernel, start, i, products(rows, columns, memory), x2 is None)
    kernel = kernel if c > 1 else kernel[..., 0, 0]
    return kernel if outputs == "full" or n_outputs == 1 else kernel / n_outputs


def _write(kernel: Tensor, row: int, column: int, block: Tensor, symmetric: bool) -> None:
    rows, columns = slice(row, row + block.shape[0]), slice(column, column + block.shape[1])
    kernel[rows, columns] = block
    if symmetric:
        kernel[columns, rows] = block.transpose(0, 1).mT


def _factors(model: nn.Module, x: Tensor, outputs: str, n: int, *, check: bool = False) -> Factors:
    """Gradients, or factors of gradients, of each trained layer for a block of patterns.

    Args:
        model: a model that passes `check_layers`.
        x: the patterns.
        outputs: as for the kernel.
        n: number of patterns with which the gradient of each pattern is multiplied.
        check: whether to check that patterns do not interact.
    """
    f, calls = forward_calls(model, copy_inputs(x))
    f = f.reshape(len(f), -1)
    calls = [call for call in calls if call.edge is not None and (call.weight or call.bias)]
    if not calls:
        raise NotLayerwise("no parameter is trained")
    edges: Any = [call.edge for call in calls]
    each = [f] if outputs == "sum" else f.unbind(1)
    by_output = [
        torch.autograd.grad(part.sum(), edges, retain_graph=True, allow_unused=True) for part in each
    ]
    if check:
        totals = [sum(g for g in of_layer if g is not None) for of_layer in zip(*by_output, strict=True)]
        _check_independent(f, edges, totals)
    gradients, outer = [f.new_zeros(len(f), 1 if outputs == "trace" else len(each), 0)], []
    for call, of_layer in zip(calls, zip(*by_output, strict=True), strict=True):
        if all(g is None for g in of_layer):
            continue
        zero = f.new_zeros(call.shape)
        deltas = torch.stack([zero if g is None else g.reshape(call.shape) for g in of_layer], 1)
        formed = norm_gradients(call, deltas) if call.kind == "norm" else outer_products_of(call, deltas)
        if isinstance(formed, Tensor):
            gradients.append(formed.flatten(1)[:, None] if outputs == "trace" else formed)
            continue
        if outputs == "trace":
            formed = Outer(formed.patches, formed.signals.flatten(3)[:, :, :, None])
        if formed.is_cheaper(n):
            outer.append(formed)
        else:
            gradients.append(formed.gradients())
    return Factors(torch.cat(gradients, -1).detach(), tuple(outer))


def _check_independent(f: Tensor, edges: Any, deltas: list[Any]) -> None:
    """Check that the outputs of each pattern depend on the layers' outputs at this pattern alone."""
    factors = f.new_tensor([FACTORS[i % len(FACTORS)] for i in range(len(f))])
    weighted = torch.autograd.grad((factors @ f).sum(), edges, retain_graph=True, allow_unused=True)
    for delta, other in zip(deltas, weighted, strict=True):
        if other is None:
            continue
        expected = delta * factors.view(-1, *[1] * (delta.ndim - 1))
        if (expected - other).abs().max() > 1e4 * torch.finfo(f.dtype).eps * expected.abs().max():
            raise NotLayerwise("patterns interact")
