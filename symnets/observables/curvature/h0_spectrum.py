"""The spectrum of H0 without H0: that of the tangent kernel of the patterns that count."""

import torch
from torch import nn

from symnets.data.loader import Batch
from symnets.observables.curvature.loss_derivatives import Loss, loss_derivatives
from symnets.observables.curvature.spectrum import Spectrum
from symnets.observables.outputs import scalar_outputs
from symnets.observables.tangent import tangent_kernel


def h0_spectrum(model: nn.Module, loss: Loss, batch: Batch) -> Spectrum:
    """The min(N, N_Δ) largest eigenvalues of H0 = (1/P) Σ ℓ'' ∇f ∇f^T; the others are exactly zero.

    With G the gradients of the N_Δ patterns that have ℓ'' ≠ 0 and w = ℓ''/P, H0 = G w G^T and
    √w G^T G √w = √w Θ √w have the same non-zero eigenvalues; Θ is the tangent kernel.
    For a finite-range loss, N_Δ is the number of unsatisfied patterns.

    Args:
        model: one output a pattern, no members.
        loss: per example and convex.
        batch: inputs and targets.

    Raises:
        ValueError: members, several outputs, a reduced loss, or ℓ'' < 0 somewhere.
    """
    if getattr(model, "members", None) is not None:
        raise ValueError("model: expected a single net, got members; take model.member(s)")
    with torch.no_grad():
        outputs = scalar_outputs(model(batch.inputs), batch.targets)
    _, d2 = loss_derivatives(loss, outputs, batch.targets)
    if bool((d2 < 0).any()):
        raise ValueError(f"loss: expected ℓ'' >= 0, got {d2.min().item():.3g}; take spectrum(split.h0)")
    active = torch.nonzero(d2)[:, 0]
    if len(active) == 0:
        return Spectrum(outputs.new_zeros(0))
    root = (d2[active] / len(d2)).sqrt()
    kernel = tangent_kernel(model, batch.inputs[active]) * root[:, None] * root
    n_params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Spectrum(torch.linalg.eigvalsh(kernel)[-n_params:])
