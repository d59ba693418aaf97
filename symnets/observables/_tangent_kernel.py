"""Neural tangent kernel of a net with scalar output: scalar products of the gradients of its outputs."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models import Dense, signals
from symnets.observables._as_found import as_found


def tangent_kernel(model: nn.Module, x: Tensor) -> Float[Tensor, "*members n n"]:
    """Neural tangent kernel Θ(x, x') = ∇_w f(x) · ∇_w f(x') on a set of patterns.

    For `Dense` nets of scalar output it follows from one forward and one backward pass, without the gradients
    themselves:

        Θ = Σ_l (s_l² A_(l-1)^T A_(l-1) + [biases] 1) ∘ D_l^T D_l,

    with the activations A and signals D of `symnets.models.signals`, features first. For other modules the n
    gradients are computed one after the other, which takes n N numbers of memory. Parameters with
    `requires_grad=False` are left out. The model is evaluated in its current mode and left as found.

    Raises:
        ValueError: there are several outputs for each pattern.
    """
    trained = all(p.requires_grad for p in model.parameters())
    if isinstance(model, Dense) and model.d_out is None and trained:
        return _dense_kernel(model, x)
    parameters = [p for p in model.parameters() if p.requires_grad]
    with as_found(model), torch.enable_grad():
        f = model(x)
        if f.numel() != len(x):
            raise ValueError(
                f"model: expected one output for each pattern, got outputs of shape {tuple(f.shape)}"
            )
        rows = [
            torch.autograd.grad(out, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            for out in f.reshape(-1)
        ]
    gradients = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    return gradients @ gradients.T


@torch.no_grad()
def _dense_kernel(model: Dense, x: Tensor) -> Float[Tensor, "*members n n"]:
    layers = signals(model, x)
    kernel = None
    for s, a, d in zip(layers.scales, layers.activations, layers.signals, strict=True):
        term = (s * s) * (a.transpose(-1, -2) @ a)
        if len(model.biases):
            term += 1
        term = term * (d.transpose(-1, -2) @ d)
        kernel = term if kernel is None else kernel.add_(term)
    assert kernel is not None
    return kernel if model.members is not None else kernel[0]
