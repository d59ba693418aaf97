"""Neural tangent kernel: scalar products of the gradients of a net's outputs."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.memory import check_memory
from symnets.models import Dense
from symnets.nn import modification
from symnets.observables._tangent_kernel._dense_terms import Outputs, dense_terms
from symnets.observables._tangent_kernel._gradients import Gradients
from symnets.observables._tangent_kernel._layers import layerwise_kernel
from symnets.observables._tangent_kernel._members import single_nets
from symnets.observables._tangent_kernel._points import n_points
from symnets.observables._tangent_kernel._terms import TILE, fill_kernel


def tangent_kernel(
    model: nn.Module,
    x1: Any,
    x2: Any = None,
    *,
    outputs: Outputs = "full",
    max_bytes: int = 2**30,
) -> Float[Tensor, "..."]:
    """Neural tangent kernel Θ(x, x') = ∇_w f(x) · ∇_w f(x') of two sets of points, or of one with itself.

    The kernel depends on the parametrisation: the three of `Dense` have different kernels for the same
    function. Parameters with `requires_grad=False` are left out. For C outputs f_c, with
    Θ_cc' = ∇f_c · ∇f_c', the conventions of `outputs` are

        full     (n1, n2, C, C)   Θ_cc'(x, x')
        trace    (n1, n2)         (1/C) Σ_c Θ_cc(x, x')
        sum      (n1, n2)         (1/C) Σ_cc' Θ_cc'(x, x'), the kernel of Σ_c f_c / √C (arXiv:2206.12543)

    For one output, (n,) or (n, 1), the kernel is (n1, n2) in all of them. A model with members gives kernels
    with the members along the first axis.

    `Dense` nets take one forward and one backward pass and products of matrices, without the gradient of any
    parameter:

        Θ = Σ_l (s_l² a_(l-1)ᵀ a_(l-1) + [biases] 1) ∘ D_lᵀ D_l,

    with the activations a and signals D = ∂f/∂z of `symnets.models.signals`; [biases] is 1 for a layer with
    biases and 0 without. Nets of linear, convolutional and normalising layers are treated layer by layer,
    too. For other modules, gradients are computed for blocks of points. If x2 is None, one half is computed
    and mirrored.

    The model is evaluated in its current mode and left as found.

    Args:
        model: its outputs have shape (n,) or (n, C); with members (S, n) or (S, n, C). On graphs it may also
            return energies of atoms, which are summed, or `EnergyForces`, of which the energies are used.
        x1: points of the rows: a tensor with one row for each, shared by all members or with an axis of
            members first; or an `AtomGraph`.
        x2: points of the columns; x1 if None.
        outputs: convention for several outputs.
        max_bytes: memory for activations, signals or gradients, beside the kernel itself. If it is smaller,
            points are taken in more blocks.

    Raises:
        ValueError: outputs of another shape, no point, or no trainable parameter.
        MemoryError: the kernel does not fit into memory.

    Example:
        >>> net = Dense(10, 50, 3, d_out=4)
        >>> tangent_kernel(net, torch.randn(7, 10)).shape
        torch.Size([7, 7, 4, 4])
    """
    if outputs not in ("full", "trace", "sum"):
        raise ValueError(f"outputs: expected 'full', 'trace' or 'sum', got {outputs!r}")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("model: expected parameters with requires_grad=True, found none")
    if isinstance(model, Dense) and modification(model, Dense) is None and not _autocast(x1):
        return _dense_kernel(model, x1, x2, outputs, max_bytes)
    if getattr(model, "members", None) is not None:
        ours = single_nets(model, x1)
        theirs = ours if x2 is None else single_nets(model, x2)
        return torch.stack(
            [
                tangent_kernel(net, a, None if x2 is None else b, outputs=outputs, max_bytes=max_bytes)
                for (net, a), (_, b) in zip(ours, theirs, strict=True)
            ]
        )
    layerwise = layerwise_kernel(model, x1, x2, outputs=outputs, memory=max_bytes // 2)
    return _gradient_kernel(model, x1, x2, outputs, max_bytes) if layerwise is None else layerwise


def _autocast(x: Any) -> bool:
    return isinstance(x, Tensor) and torch.is_autocast_enabled(x.device.type)


@torch.no_grad()
def _dense_kernel(model: Dense, x1: Tensor, x2: Tensor | None, outputs: Outputs, max_bytes: int) -> Tensor:
    for x in (x1, x1 if x2 is None else x2):
        model._check(x)
        if x.shape[-2] == 0:
            raise ValueError(f"x: expected at least one point, got a tensor of shape {tuple(x.shape)}")
    members, d_out = model.members or 1, model.d_out or 1
    signals_each = model.depth * model.width * (1 if outputs == "sum" else d_out)
    bytes_each = members * (2 * model.depth * model.width + signals_each + model.d_in) * x1.element_size()
    block = max(TILE, max_bytes // (2 * bytes_each))
    columns = x1 if x2 is None else x2
    size = (members, d_out if outputs == "full" else 1, x1.shape[-2], columns.shape[-2])
    kernel = fill_kernel(
        _empty(size, x1.dtype, x1.device),
        lambda points: dense_terms(model, x1[..., points, :], outputs),
        None if x2 is None else lambda points: dense_terms(model, x2[..., points, :], outputs),
        block,
    )
    return _arranged(kernel if model.members is not None else kernel[0])


def _gradient_kernel(model: nn.Module, x1: Any, x2: Any, outputs: Outputs, max_bytes: int) -> Tensor:
    rows = Gradients(model, x1, outputs, max_bytes)
    columns = rows if x2 is None else Gradients(model, x2, outputs, max_bytes)
    size = (1, rows.d_out if outputs == "full" else 1, n_points(x1), n_points(x1 if x2 is None else x2))
    block = min(rows.block, columns.block)
    kernel = fill_kernel(_empty(size, rows.dtype, rows.device), rows, None if x2 is None else columns, block)
    return _arranged(kernel[0])


def _empty(size: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    members, outputs, n1, n2 = size
    if device.type == "cpu":
        n_bytes = members * outputs**2 * n1 * n2 * dtype.itemsize
        instead = "take fewer points, write_tangent_kernel, or TangentKernelOperator"
        check_memory(f"tangent_kernel: a kernel of {n1} x {n2} points", n_bytes, instead)
    return torch.empty(members, outputs, outputs, n1, n2, dtype=dtype, device=device)


def _arranged(kernel: Tensor) -> Tensor:
    """Kernel with the axes of points before those of outputs, and without the latter for a single output."""
    if kernel.shape[-4:-2] == (1, 1):
        return kernel[..., 0, 0, :, :]
    return kernel.movedim((-2, -1), (-4, -3))
