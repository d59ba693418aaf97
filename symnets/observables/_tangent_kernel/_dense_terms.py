"""Tangent kernel of a dense net from activations and signals of each layer, without the Jacobian."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models import Dense
from symnets.observables._tangent_kernel._terms import Term, Terms

Outputs = Literal["full", "trace", "sum"]
"""Convention for the kernel of several outputs, see `tangent_kernel`."""


@torch.no_grad()
def dense_terms(model: Dense, x: Float[Tensor, "*members n d_in"], outputs: Outputs) -> Terms:
    """Terms of a dense net on a set of points, by one forward and one backward pass.

    With z_l = s_l W_l a_(l-1) + b_l, signals are D_(L+1) = 1 and D_l = φ'(z_l) ∘ s_(l+1) W_(l+1)ᵀ D_(l+1).
    Layers without trained parameters have no term.
    """
    phi, relu = model.activation, model.activation.value is torch.relu
    weights = [w if model.members is not None else w[None] for w in model.weights]
    biases = [b if model.members is not None else b[None] for b in model.biases]
    # Activations are kept without their norm; it is part of the factor of the next layer.
    factors = [s * (phi.norm if layer else 1.0) for layer, s in enumerate(model.scales)]
    d_out = model.d_out or 1
    before: list[Tensor] = []
    after = [x.detach().transpose(-1, -2).reshape(-1, x.shape[-1], x.shape[-2])]
    for layer, (factor, w) in enumerate(zip(factors[:-1], weights[:-1], strict=True)):
        bias = biases[layer][:, :, None] if biases else None
        z = _product(w, after[-1], factor, bias)
        before.append(z)
        after.append(z.relu_() if relu else phi.value(z))
    last = factors[-1] * weights[-1]  # (members, outputs, units)
    if outputs == "sum":
        last = last.sum(1, keepdim=True) * d_out**-0.5
    n = x.shape[-2]
    signal = last.mT[..., None]  # (members, units, outputs, 1)
    terms: list[Term] = []
    for layer in range(len(weights) - 1, -1, -1):
        top = layer == len(weights) - 1
        if not top:
            slope_of = after[layer + 1] if relu else before[layer]
            slope = (slope_of.sign() if relu else phi.slope(slope_of))[:, :, None]
            signal = (
                signal.mul_(slope) if signal.shape[-1] == n and signal.is_contiguous() else signal * slope
            )
        trained = model.weights[layer].requires_grad
        biased = bool(biases) and model.biases[layer].requires_grad
        if top and biased and not trained:  # a constant, for each output
            terms.append(Term(x.new_ones(1, 1, n), None, 1.0, 0.0))
            continue
        if trained or biased:
            share = 1 / d_out if outputs == "trace" and not top else 1.0
            terms.append(
                Term(
                    after[layer] if trained else None,
                    None if top else _by_output(signal, outputs),
                    factors[layer] ** 2 * share if trained else 0.0,
                    share if biased else 0.0,
                )
            )
        if layer and not top:
            back = _product(weights[layer].mT, signal.flatten(2), factors[layer])
            signal = back.unflatten(2, (-1, n))
    return terms


def _by_output(signal: Float[Tensor, "members units outputs n"], outputs: Outputs) -> Tensor:
    """Signals with a leading axis of outputs; for the trace over outputs, they count as further units."""
    return signal.transpose(1, 2) if outputs == "full" else signal.flatten(1, 2)[:, None]


def _product(w: Tensor, a: Tensor, factor: float, bias: Tensor | None = None) -> Tensor:
    """factor · w a + bias of all members; one product if they share a."""
    beta = 0 if bias is None else 1
    if len(a) == 1:
        rows = w.reshape(-1, w.shape[2])
        added = w.new_zeros(()) if bias is None else bias.reshape(-1, 1)
        return torch.addmm(added, rows, a[0], beta=beta, alpha=factor).unflatten(0, w.shape[:2])
    return torch.baddbmm(w.new_zeros(()) if bias is None else bias, w, a, beta=beta, alpha=factor)
