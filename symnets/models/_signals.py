"""Signals: activations and back-propagated signals of a dense net, from which its derivatives follow."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.models._dense import Dense
from symnets.models._members import with_member_axis
from symnets.nn import modification


@dataclass(frozen=True)
class Signals:
    """Activations and back-propagated signals of a scalar dense net, for each member and pattern.

    With weights W_l, biases b_l, scale factors s_l and the activation φ, the net f(x) of L hidden layers is

        a_0 = x,   z_l = s_l W_l a_(l-1) + b_l,   a_l = φ(z_l),   f = z_(L+1),

    and its derivatives are products of activations a and back-propagated signals D:

        D_(L+1) = 1,   D_l = ∂f/∂z_l = φ'(z_l) ∘ s_(l+1) W_(l+1)^T D_(l+1),
        ∂f/∂W_l[p, j] = s_l D_l[p] a_(l-1)[j],   ∂f/∂b_l = D_l.

    Tensors have the shape (members, units of the layer, patterns); a single net is one member. a_0 has no
    member axis if all members have the same patterns.

    Attributes:
        output: f, (members, n).
        activations: a_0, ..., a_L.
        signals: D_1, ..., D_(L+1).
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
    """Activations and back-propagated signals of a dense net, by one forward and one backward pass.

    Args:
        model: dense net of scalar output, or a stack of members.
        x: patterns (n, d_in), or (members, n, d_in) if each member has its own.

    Raises:
        ValueError: the net has several outputs, of which one must be chosen first; or it is of a subclass,
            has hooks or is modified, so that the formulas do not hold.
    """
    if problem := modification(model, Dense):
        raise ValueError(f"signals: expected an unmodified Dense, but {problem}")
    if model.d_out is not None:
        raise ValueError(f"signals: expected a net of scalar output (d_out=None), got d_out={model.d_out}")
    model._check(x)
    phi = model.activation
    weights, biases = with_member_axis(model)
    activations, preactivations = [x.transpose(-1, -2)], []
    for layer, (s, w) in enumerate(zip(model.scales, weights, strict=True)):
        z = torch.matmul(s * w, activations[-1])
        if biases:
            z = z + biases[layer][:, :, None]
        preactivations.append(z)
        activations.append(phi(z))
    output = preactivations.pop()
    activations.pop()
    slopes = [phi.norm * phi.slope(z) for z in preactivations]
    backpropagated = [torch.ones_like(output)]
    for s, w, slope in zip(model.scales[:0:-1], weights[:0:-1], reversed(slopes), strict=True):
        backpropagated.insert(0, slope * torch.matmul(s * w.transpose(1, 2), backpropagated[0]))
    curvature = phi.curvature
    curvatures = None if curvature is None else tuple(phi.norm * curvature(z) for z in preactivations)
    return Signals(
        output[:, 0],
        tuple(activations),
        tuple(backpropagated),
        tuple(slopes),
        curvatures,
        tuple(model.scales),
    )
