"""Gradients of the output of a dense net, pattern by pattern."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models.signals import Signals


def dense_gradients(pass_: Signals, *, bias: bool) -> Float[Tensor, "N n"]:
    """∂f_μ/∂w of a single net: parameters first, in the order of `model.parameters()`.

    ∂f/∂W_l[p, j] = s_l D_l[p] a_(l-1)[j], ∂f/∂b_l = D_l.
    """
    activations, back = single(pass_.activations), single(pass_.signals)
    sizes = [len(d) * len(a) for d, a in zip(back, activations, strict=True)]
    n_biases = sum(len(d) for d in back) if bias else 0
    g = back[0].new_empty(sum(sizes) + n_biases, back[0].shape[1])
    start = 0
    for size, s, d, a in zip(sizes, pass_.scales, back, activations, strict=True):
        torch.mul((s * d)[:, None], a[None], out=g[start : start + size].view(len(d), len(a), -1))
        start += size
    if bias:
        torch.cat(back, out=g[start:])
    return g


def single(features: tuple[Tensor, ...]) -> list[Float[Tensor, "units n"]]:
    """Without the member axis of one that `Signals` has."""
    return [a if a.ndim == 2 else a[0] for a in features]
