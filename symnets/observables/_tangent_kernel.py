"""The tangent kernel of a net: scalar products of the gradients of its outputs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models import Dense, signals


def tangent_kernel(model: nn.Module, x: Tensor) -> Float[Tensor, "*members n n"]:
    """Θ(x, x') = ∇_w f(x) · ∇_w f(x') on a set of patterns.

    For `Dense` nets of scalar output, from one pass forward and back, without the gradients themselves:

        Θ = Σ_l (s_l² A_(l-1)^T A_(l-1) + [biases] 1) ∘ D_l^T D_l,

    with `Signals` A and D, features first. For other modules of one output the n gradients are found
    one by one, n N words. Parameters with `requires_grad=False` do not count.

    Raises:
        ValueError: there are several outputs a pattern.
    """
    trained = all(p.requires_grad for p in model.parameters())
    if isinstance(model, Dense) and model.d_out is None and trained:
        return _dense_kernel(model, x)
    parameters = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        f = model(x)
        if f.numel() != len(x):
            raise ValueError(f"model: expected one output a pattern, got outputs of shape {tuple(f.shape)}")
        rows = [
            torch.autograd.grad(out, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            for out in f.reshape(-1)
        ]
    gradients = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    return gradients @ gradients.T


@torch.no_grad()
def _dense_kernel(model: Dense, x: Tensor) -> Float[Tensor, "*members n n"]:
    found = signals(model, x)
    kernel = None
    for s, a, d in zip(found.scales, found.activations, found.signals, strict=True):
        term = (s * s) * (a.transpose(-1, -2) @ a)
        if len(model.biases):
            term += 1
        term = term * (d.transpose(-1, -2) @ d)
        kernel = term if kernel is None else kernel.add_(term)
    assert kernel is not None
    return kernel if model.members is not None else kernel[0]
