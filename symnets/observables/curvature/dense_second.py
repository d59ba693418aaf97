"""Second derivatives of the output of a dense net, summed over patterns, in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models.dense import Dense
from symnets.models.signals import Signals
from symnets.observables.curvature.dense_gradients import single
from symnets.observables.curvature.layer_blocks import LayerBlocks
from symnets.observables.curvature.symmetric import strips

SYMMETRIC = 6
"""Units at once in a block of a layer with itself, half of which need not be computed."""


def add_second_derivatives(
    blocks: LayerBlocks, model: Dense, pass_: Signals, weights: Float[Tensor, " n"], *, budget: int
) -> None:
    """Lower half += Σ_μ c_μ ∇²f_μ of a single net.

    With z_l = s_l W_l a_(l-1) + b_l and D_l = ∂f/∂z_l, for l <= m:

        ∂²f / ∂W_m[p, q] ∂W_l[i, j] = s_m s_l ( K_ml[p, i] a_(m-1)[q] a_(l-1)[j]
                                              + [l < m]  D_m[p] T_ml[q, i] a_(l-1)[j] ),
        T_ml = ∂a_(m-1)/∂z_l,     K_ml = ∂D_m/∂z_l = ∂²f/∂z_m ∂z_l,

    and a bias is a weight from a unit with a = 1, s = 1. Going forward from layer l and back to it,

        T_(l+1)l = diag φ'_l,   T_(m+1)l = φ'_m ∘ s_m W_m T_ml,
        K_(L+1)l = 0,           K_ml = φ''_m ∂f/∂a_m ∘ ∂z_m/∂z_l + φ'_m ∘ s_(m+1) W_(m+1)^T K_(m+1)l.

    K vanishes for piecewise linear φ: layers then have no block with themselves. Sums over patterns are
    one matrix product a pair of layers, of cost P h³ where T or K is diagonal, else P h⁴.

    Args:
        blocks: where to add.
        model: the net.
        pass_: its signals on the patterns.
        weights: c.
        budget: words that a product may take.
    """
    w = [s * layer.detach() for s, layer in zip(model.scales, model.weights, strict=True)]
    slopes, back = single(pass_.slopes), single(pass_.signals)
    inputs = [s * a for s, a in zip(model.scales, single(pass_.activations), strict=True)]
    if len(model.biases):
        inputs = [torch.cat([a, torch.ones_like(a[:1])]) for a in inputs]
    bends = []
    if pass_.curvatures is not None:
        for bend, layer, d in zip(single(pass_.curvatures), w[1:], back[1:], strict=True):
            bends.append(weights * bend * (layer.T @ d))
    for low in range(model.depth):
        moves = [torch.eye(model.width, dtype=w[0].dtype, device=w[0].device)[..., None]]
        # ∂z_m/∂z_low for m = low, low + 1, ...
        for m in range(low + 1, model.depth + 1):
            shared = ((weights * back[m])[:, None] * inputs[low]).flatten(0, 1)  # c D_m[p] a_(l-1)[j]
            if m == low + 1:  # T is diagonal
                found = shared @ (model.scales[m] * slopes[low]).T
                blocks.add_same_unit(low, found.unflatten(0, (-1, len(inputs[low]))))
                moves.append(w[m][..., None] * slopes[low])
                continue
            into = slopes[m - 1][:, None] * moves[-1]  # T
            if not bends:
                moves.clear()
            if m < model.depth:
                moves.append((w[m] @ into.flatten(1)).view_as(into))
            found = shared @ into.mul_(model.scales[m]).flatten(0, 1).T
            found = found.view(-1, len(inputs[low]), *into.shape[:2])
            blocks.add(m, low, found.permute(0, 2, 3, 1))
        if bends:
            _add_bends(blocks, low, moves, bends, w, slopes, inputs, budget)


def _add_bends(
    blocks: LayerBlocks,
    low: int,
    moves: list[Tensor],
    bends: list[Tensor],
    w: list[Tensor],
    slopes: list[Tensor],
    inputs: list[Tensor],
    budget: int,
) -> None:
    """The terms with K, for one lower layer."""
    if low == len(bends) - 1:  # K is diagonal
        pairs = (inputs[low][:, None] * inputs[low]).flatten(0, 1)
        blocks.add_alone(low, (bends[low] @ pairs.T).unflatten(1, (len(inputs[low]), -1)))
        return
    k = None
    for m in range(len(bends) - 1, low - 1, -1):
        own = bends[m][:, None] * moves[m - low]
        k = own if k is None else own.add_(slopes[m][:, None] * (w[m + 1].T @ k.flatten(1)).view_as(own))
        pairs = (inputs[m][:, None] * inputs[low]).flatten(0, 1)  # a_(m-1)[q] a_(l-1)[j]
        rows = max(1, budget // (k.shape[1] * len(pairs)))
        for units in strips(len(k), min(rows, SYMMETRIC) if m == low else rows):
            part = k[units, : units.stop] if m == low else k[units]
            found = part.flatten(0, 1) @ pairs.T
            shape = (*part.shape[:2], len(inputs[m]), len(inputs[low]))
            blocks.add(m, low, found.view(shape).permute(0, 2, 1, 3), units)
