"""Tangent kernels from the whole Jacobian, one row after the other."""

import torch
from torch import Tensor, nn


def jacobian_rows(model: nn.Module, x: Tensor) -> Tensor:
    """∂f_c(x_i)/∂w, (n, C, N), every row by a backward pass."""
    f = model(x)
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = [
        torch.autograd.grad(out, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        for out in f.reshape(-1)
    ]
    flat = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    return flat.reshape(len(x), -1, flat.shape[1])


def product_of_rows(model: nn.Module, x1: Tensor, x2: Tensor | None = None, outputs: str = "full") -> Tensor:
    """The kernel J J^T of two sets of patterns, with `outputs` as for `tangent_kernel`."""
    one = jacobian_rows(model, x1)
    two = one if x2 is None else jacobian_rows(model, x2)
    kernel = torch.einsum("icp,jdp->ijcd", one, two)
    c = one.shape[1]
    if c == 1:
        return kernel[..., 0, 0]
    if outputs == "trace":
        return kernel.diagonal(dim1=2, dim2=3).mean(-1)
    return kernel.sum((2, 3)) / c if outputs == "sum" else kernel
