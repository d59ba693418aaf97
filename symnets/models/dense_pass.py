"""One pass through a dense net and back, written out: features first, one call for all members."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from symnets.models.activation import Activation

if TYPE_CHECKING:
    from symnets.models.dense import Dense


def dense_pass(model: "Dense", x: Tensor) -> Float[Tensor, "members d_out n"]:
    """f of all members, (S, d_out, n); differentiable to any order, and inside torch.func transforms."""
    weights = [w if model.members is not None else w[None] for w in model.weights]
    biases = [b if model.members is not None else b[None] for b in model.biases]
    # The norm of the activation and the scale of the layer that reads it are one factor.
    factors = [s * (model.activation.norm if layer else 1.0) for layer, s in enumerate(model.scales)]
    wanted = x.requires_grad or any(p.requires_grad for p in (*weights, *biases))
    transformed = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore
    if transformed or not (wanted and torch.is_grad_enabled()):
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
    """Output (S, d_out, n); pre-activations; activations (without norm) from the input on, each (S, h, n).

    In place, activations of ReLU take the memory of their pre-activations.
    """
    members, columns = weights[0].shape[0], x.shape[-2]
    before: list[Tensor] = []
    after = [x.transpose(-1, -2)]
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
        after.append(z.relu_() if in_place and activation.name == "relu" else activation.value(z))
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
        kept = [] if activation.name == "relu" else before  # of ReLU the sign of the output tells the slope
        ctx.save_for_backward(x, *parameters, *after[1:], *kept)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Any:
        (signal,) = grads
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        needs: tuple[bool, ...] = ctx.needs_input_grad  # pyright: ignore[reportAttributeAccessIssue]
        layers, factors, activation = ctx.layers, ctx.factors, ctx.activation  # pyright: ignore
        x, n = saved[0], sum(needs[4:]) and len(needs) - 4
        parameters, rest = saved[1 : 1 + len(needs) - 4], saved[1 + len(needs) - 4 :]
        if torch.is_grad_enabled():  # a derivative of this derivative is wanted
            return _differentiable(activation, factors, x, parameters, layers, signal, needs)
        weights, biases = parameters[:layers], parameters[layers:]
        after, before = rest[: layers - 1], rest[layers - 1 :]
        grad_w: list[Tensor | None] = [None] * layers
        grad_b: list[Tensor | None] = [None] * len(biases)
        for layer in range(layers - 1, 0, -1):
            a = after[layer - 1]
            if n:
                grad_w[layer] = torch.bmm(signal, a.transpose(1, 2)).mul_(factors[layer])
                if biases:
                    grad_b[layer] = signal.sum(2)
            weight = factors[layer] * weights[layer]
            if weight.shape[1] == 1:
                back = weight.transpose(1, 2) * signal
            else:
                back = torch.bmm(weight.transpose(1, 2), signal)
            if before:
                signal = back.mul_(activation.slope(before[layer - 1]))
            else:
                signal = torch.ops.aten.threshold_backward(back, a, 0)
        if n:
            if x.ndim == 2:
                members, width, columns = signal.shape
                flat = signal.reshape(members * width, columns) @ x
                grad_w[0] = flat.reshape(members, width, -1).mul_(factors[0])
            else:
                grad_w[0] = torch.bmm(signal, x).mul_(factors[0])
            if biases:
                grad_b[0] = signal.sum(2)
        grad_x = None
        if needs[2]:
            grad_x = factors[0] * torch.bmm(weights[0].transpose(1, 2), signal).transpose(1, 2)
            grad_x = grad_x.sum(0) if x.ndim == 2 else grad_x
        return None, None, grad_x, None, *grad_w, *grad_b


def _differentiable(
    activation: Activation,
    factors: list[float],
    x: Tensor,
    parameters: tuple[Tensor, ...],
    layers: int,
    signal: Tensor,
    needs: tuple[bool, ...],
) -> Any:
    """The same gradient as an expression that autograd follows."""
    out = _plain(activation, factors, x, list(parameters[:layers]), list(parameters[layers:]))[0]
    arguments = (x, *parameters)
    wanted = [a for a, need in zip(arguments, (needs[2], *needs[4:]), strict=True) if need]
    found = iter(torch.autograd.grad(out, wanted, signal, create_graph=True, allow_unused=True))
    grads = [next(found) if need else None for need in (needs[2], *needs[4:])]
    return None, None, grads[0], None, *grads[1:]
