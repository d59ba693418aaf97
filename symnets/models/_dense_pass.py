"""Forward and backward pass of dense nets in closed form: features first, one call for all members."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from symnets.models._activation import Activation
from symnets.models._members import with_member_axis

if TYPE_CHECKING:
    from symnets.models._dense import Dense


def dense_pass(model: "Dense", x: Tensor) -> Float[Tensor, "members d_out n"]:
    """f of all members, (S, d_out, n); differentiable to any order, and inside torch.func transforms."""
    weights, biases, factors = _arguments(model)
    differentiable = x.requires_grad or any(p.requires_grad for p in (*weights, *biases))
    inside_transform = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore
    if inside_transform or not (differentiable and torch.is_grad_enabled()):
        return _plain(model.activation, factors, x, weights, biases)[0]
    return _Pass.apply(model.activation, factors, x, len(weights), *weights, *biases)  # pyright: ignore


def _plain(
    activation: Activation,
    factors: list[float],
    x: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    *,
    in_place: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Output (S, d_out, n); pre-activations (S, h, n); the input and the activations without norm (S, h, n).

    With `in_place`, activations of ReLU overwrite their pre-activations.
    """
    members, columns = weights[0].shape[0], x.shape[-2]
    before: list[Tensor] = []
    after = [x.transpose(-1, -2).contiguous()]  # features first: products with it are twice as fast
    for layer, (factor, w) in enumerate(zip(factors, weights, strict=True)):
        if layer == 0 and x.ndim == 2:  # one product for all members
            z = ((factor * w).reshape(-1, w.shape[2]) @ after[0]).reshape(members, w.shape[1], columns)
        else:
            z = torch.bmm(factor * w, after[-1])
        if biases:
            z = z + biases[layer][:, :, None]
        if layer == len(weights) - 1:
            return z, before, after
        before.append(z)
        after.append(z.relu_() if in_place and activation.value is torch.relu else activation.value(z))
    raise AssertionError("a net has layers")


class _Pass(torch.autograd.Function):
    """The gradient in closed form: D_l = s W^T D_(l+1) ∘ φ'(z_l), and ∂/∂W_l = s D_l φ(z_(l-1))^T."""

    @staticmethod
    def forward(
        ctx: Any, activation: Activation, factors: list[float], x: Tensor, layers: int, *parameters: Tensor
    ) -> Tensor:
        weights, biases = list(parameters[:layers]), list(parameters[layers:])
        out, before, after = _plain(activation, factors, x, weights, biases, in_place=True)
        ctx.activation, ctx.factors, ctx.layers = activation, factors, layers
        saved = [] if activation.value is torch.relu else before  # the output of ReLU determines its slope
        ctx.save_for_backward(x, *parameters, *after, *saved)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Any:
        (signal,) = grads
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        needs: tuple[bool, ...] = ctx.needs_input_grad  # pyright: ignore[reportAttributeAccessIssue]
        layers, factors, activation = ctx.layers, ctx.factors, ctx.activation  # pyright: ignore
        x, n = saved[0], len(needs) - 4
        parameters, rest = saved[1 : 1 + n], saved[1 + n :]
        if torch.is_grad_enabled():  # this derivative will be differentiated
            return _differentiable(activation, factors, x, parameters, layers, signal, needs)
        after, before = rest[:layers], rest[layers:]
        weights, biases = parameters[:layers], parameters[layers:]
        grad_w, grad_b, signal = _back(activation, factors, weights, len(biases) > 0, after, before, signal)
        grad_x = None
        if needs[2]:
            grad_x = factors[0] * torch.bmm(weights[0].transpose(1, 2), signal).transpose(1, 2)
            grad_x = grad_x.sum(0) if x.ndim == 2 else grad_x
        return None, None, grad_x, None, *grad_w, *grad_b


def _back(
    activation: Activation,
    factors: Sequence[float],
    weights: Sequence[Tensor],
    biased: bool,
    after: Sequence[Tensor],
    before: Sequence[Tensor],
    signal: Tensor,
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Gradients of weights and biases, and the signal D_1.

    Args:
        activation: φ.
        factors: factor of each layer.
        weights: those of each layer, with a member axis S.
        biased: whether the net has biases.
        after: activations without norm, the input first.
        before: pre-activations; empty for ReLU, whose output determines the slope.
        signal: ∂L/∂f, (S, d_out, n).
    """
    grad_w: list[Tensor] = []
    grad_b: list[Tensor] = []
    for layer in range(len(weights) - 1, -1, -1):
        a, w = after[layer], weights[layer]
        if biased:
            grad_b.append(signal.sum(2))
        if a.ndim == 2:  # the input shared by all members: one product
            flat = signal.reshape(-1, signal.shape[2]) @ a.T
            grad_w.append(flat.reshape(w.shape).mul_(factors[layer]))
        else:
            grad_w.append(torch.bmm(signal, a.transpose(1, 2)).mul_(factors[layer]))
        if layer == 0:
            break
        scaled = (factors[layer] * w).transpose(1, 2)
        back = scaled * signal if w.shape[1] == 1 else torch.bmm(scaled, signal)
        if before:
            signal = back.mul_(activation.slope(before[layer - 1]))
        else:
            signal = torch.ops.aten.threshold_backward(back, a, 0)
    return grad_w[::-1], grad_b[::-1], signal


@torch.no_grad()
def backpropagate(
    model: "Dense", x: Tensor, slope: Callable[[Tensor], Tensor]
) -> Float[Tensor, "members d_out n"]:
    """f of all members, with the gradients of a loss left in `.grad`; no autograd graph is made.

    For small nets, building and running the autograd graph takes as long as the matrix products.

    Args:
        model: the net; its frozen parameters get no gradient.
        x: inputs.
        slope: maps f, (S, d_out, n), to ∂L/∂f of the same shape.
    """
    weights, biases, factors = _arguments(model)
    out, before, after = _plain(model.activation, factors, x, weights, biases, in_place=True)
    if model.activation.value is torch.relu:
        before = []
    grad_w, grad_b, _ = _back(model.activation, factors, weights, bool(biases), after, before, slope(out))
    for parameter, grad in zip(model.parameters(), (*grad_w, *grad_b), strict=True):
        parameter.grad = grad.reshape(parameter.shape) if parameter.requires_grad else None
    return out


def _arguments(model: "Dense") -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Weights and biases with a member axis; the factor of each layer."""
    weights, biases = with_member_axis(model)
    # The norm of the activation and the scale of the next layer are one factor.
    factors = [s * (model.activation.norm if layer else 1.0) for layer, s in enumerate(model.scales)]
    return weights, biases, factors


def _differentiable(
    activation: Activation,
    factors: list[float],
    x: Tensor,
    parameters: tuple[Tensor, ...],
    layers: int,
    signal: Tensor,
    needs: tuple[bool, ...],
) -> Any:
    """The gradient of `_Pass` as an expression that autograd can differentiate."""
    out = _plain(activation, factors, x, list(parameters[:layers]), list(parameters[layers:]))[0]
    arguments = (x, *parameters)
    inputs = [a for a, need in zip(arguments, (needs[2], *needs[4:]), strict=True) if need]
    gradients = iter(torch.autograd.grad(out, inputs, signal, create_graph=True, allow_unused=True))
    grads = [next(gradients) if need else None for need in (needs[2], *needs[4:])]
    return None, None, grads[0], None, *grads[1:]
