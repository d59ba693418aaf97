"""Signals: activations and back-propagated signals of a dense net, from which its derivatives follow."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models._dense import Dense
from symnets.nn import modification


@dataclass(frozen=True)
class Signals:
    """Activations and back-propagated signals of a scalar dense net, for each member and pattern.

    With z_l = s_l W_l a_(l-1) + b_l, a_0 = x, a_l = φ(z_l) and f = z_(L+1),

        D_(L+1) = 1,   D_l = ∂f/∂z_l = φ'(z_l) ∘ s_(l+1) W_(l+1)^T D_(l+1),
        ∂f/∂W_l[p, j] = s_l D_l[p] a_(l-1)[j],   ∂f/∂b_l = D_l.

    Features are the first axis and patterns the last; a single net has a member axis too. a_0 has none
    when all members have the same patterns.

    Attributes:
        output: f, (S, n).
        activations: a_0, ..., a_L.
        signals: D_1, ..., D_(L+1), each (S, units of the layer, n).
        slopes: φ'(z_1), ..., φ'(z_L).
        curvatures: φ''(z_1), ..., φ''(z_L); None where φ is piecewise linear.
        scales: s_1, ..., s_(L+1).
    """

    output: Float[Tensor, "members n"]
    activations: tuple[Tensor, ...]
    signals: tuple[Float[Tensor, "members _ n"], ...]
    slopes: tuple[Float[Tensor, "members _ n"], ...]
    curvatures: tuple[Float[Tensor, "members _ n"], ...] | None
    scales: tuple[float, ...]


@torch.no_grad()
def signals(model: Dense, x: Float[Tensor, "*members n d_in"]) -> Signals:
    """Signals of a dense net, by one forward and one backward pass.

    Raises:
        ValueError: the net has an output axis; choose one output first. Or it is of another class, or has
            hooks or other changes, so that the closed form does not hold.
    """
    if problem := modification(model, Dense):
        raise ValueError(f"signals: expected a Dense as its class makes it, but {problem}")
    if model.d_out is not None:
        raise ValueError(f"signals: expected a net of scalar output (d_out=None), got d_out={model.d_out}")
    model._check(x)
    phi = model.activation
    weights = [w if model.members is not None else w[None] for w in model.weights]
    biases = [b if model.members is not None else b[None] for b in model.biases]
    activations, before = [x.transpose(-1, -2)], []
    for layer, (s, w) in enumerate(zip(model.scales, weights, strict=True)):
        z = torch.matmul(s * w, activations[-1])
        if biases:
            z = z + biases[layer][:, :, None]
        before.append(z)
        activations.append(phi(z))
    output = before.pop()
    activations.pop()
    slopes = [phi.norm * phi.slope(z) for z in before]
    back = [torch.ones_like(output)]
    for s, w, slope in zip(model.scales[:0:-1], weights[:0:-1], reversed(slopes), strict=True):
        back.insert(0, slope * torch.matmul(s * w.transpose(1, 2), back[0]))
    bend = phi.curvature
    curvatures = None if bend is None else tuple(phi.norm * bend(z) for z in before)
    return Signals(
        output[:, 0], tuple(activations), tuple(back), tuple(slopes), curvatures, tuple(model.scales)
    )
