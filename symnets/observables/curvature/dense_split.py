"""The two parts of the Hessian of a dense net, in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models.dense import Dense
from symnets.models.signals import signals
from symnets.observables.curvature.dense_gradients import dense_gradients
from symnets.observables.curvature.dense_second import add_second_derivatives
from symnets.observables.curvature.layer_blocks import LayerBlocks
from symnets.observables.curvature.loss_derivatives import Loss, loss_derivatives
from symnets.observables.curvature.symmetric import STRIP, add_weighted_gram, mirror, strips

SMALL = 2**20
"""Words that temporaries may always take, however small the net: 8 MB in float64."""


@torch.no_grad()
def add_dense_split(
    h0: Float[Tensor, "N N"],
    hp: Float[Tensor, "N N"],
    model: Dense,
    loss: Loss,
    x: Float[Tensor, "n d_in"],
    y: Float[Tensor, " n"],
) -> None:
    """H0 and Hp of a single net, written into matrices of zeros.

    With the outputs f_μ = f(x_μ), P patterns and G the gradients ∂f_μ/∂w,

        H0 = G diag(ℓ''/P) G^T,   Hp = Σ_μ (ℓ'_μ/P) ∇²f_μ  (`add_second_derivatives`).

    Only those patterns take part whose ℓ' or ℓ'' is not zero. Patterns are taken in portions, so that
    temporaries stay below N² words (or 8 MB, or what one pattern needs, if that is more).

    Source of the split: Geiger et al. 2019, arXiv:1809.09349.
    """
    budget = max(len(h0) ** 2, SMALL) // 8
    portion = max(1, budget // _words_per_pattern(model, len(h0)))
    outputs = torch.cat([model(x[part]) for part in strips(len(x), portion)])
    d1, d2 = loss_derivatives(loss, outputs, y)
    active = torch.nonzero((d1 != 0) | (d2 != 0))[:, 0]
    blocks = LayerBlocks(hp, model)
    for part in strips(len(active), portion):
        chosen = active[part]
        pass_ = signals(model, x[chosen])
        if bool((d2[chosen] != 0).any()):
            gradients = dense_gradients(pass_, bias=bool(len(model.biases)))
            add_weighted_gram(h0, gradients, d2[chosen] / len(x))
            del gradients
        if bool((d1[chosen] != 0).any()):
            add_second_derivatives(blocks, model, pass_, d1[chosen] / len(x), budget=budget)
    mirror(h0)
    mirror(hp)


def _words_per_pattern(model: Dense, n_params: int) -> int:
    """Numbers that temporaries hold for each pattern, with some to spare."""
    h, wide = model.width, max(model.d_in, model.width) + 1
    smooth = model.activation.curvature is not None
    moves = (model.depth + 5 if smooth else 3) * h * h if model.depth > 1 else 0
    second = moves + 2 * h * wide + (wide * wide if smooth else 0)
    return model.d_in + 8 * h * model.depth + max(n_params + STRIP, second)
