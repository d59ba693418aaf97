"""Neural tangent kernel of a net with scalar output: scalar products of the gradients of its outputs."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.memory import check_memory
from symnets.models import Convolutional, Dense, Ensemble, signals
from symnets.nn import modification
from symnets.observables._as_found import as_found, own_copy


def tangent_kernel(model: nn.Module, x: Tensor) -> Float[Tensor, "*members n n"]:
    """Neural tangent kernel Θ(x, x') = ∇_w f(x) · ∇_w f(x') on a set of patterns.

    For `Dense` nets of scalar output it follows from one forward and one backward pass, without the gradients
    themselves:

        Θ = Σ_l (s_l² A_(l-1)^T A_(l-1) + [biases] 1) ∘ D_l^T D_l,

    with the activations A and signals D of `symnets.models.signals`, features first. For other modules the n
    gradients are computed one after the other, which takes n N numbers of memory. Parameters with
    `requires_grad=False` are left out. The model is evaluated in its current mode and left as found.

    Args:
        model: scalar outputs (n,) or (n, 1); of an ensemble (S, n) or (S, n, 1).
        x: inputs, shared by all members or with an axis of members first.

    Raises:
        ValueError: there are several outputs for each pattern, no pattern, or no trainable parameter.
        MemoryError: the gradients do not fit into memory.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model: expected parameters with requires_grad=True, found none")
    all_trained = len(parameters) == len(list(model.parameters()))
    if modification(model, Dense) is None and model.d_out is None and all_trained:  # pyright: ignore
        return _dense_kernel(model, x)  # pyright: ignore[reportArgumentType]
    if getattr(model, "members", None) is not None:
        return torch.stack([tangent_kernel(net, own) for net, own in single_nets(model, x)])
    with torch.inference_mode(False), as_found(model), torch.enable_grad():
        f = model(own_copy(x))
        if f.numel() != len(x) or len(x) == 0:
            raise ValueError(
                f"model: expected one output for each pattern, got outputs of shape {tuple(f.shape)} for "
                f"{len(x)} patterns"
            )
        n_params = sum(p.numel() for p in parameters)
        if f.device.type == "cpu":
            check_memory(
                f"tangent_kernel: {len(x)} gradients of {n_params} parameters",
                2 * len(x) * n_params * f.element_size(),
                "take fewer patterns, or products with vectors by GaussNewtonOperator",
            )
        rows = [
            torch.autograd.grad(out, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            for out in f.reshape(-1)
        ]
    gradients = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
    return gradients @ gradients.T


def single_nets(model: nn.Module, inputs: Any) -> list[tuple[nn.Module, Any]]:
    """The members of an ensemble as nets of their own, each with its inputs.

    Args:
        model: with `members` and `member(s)`.
        inputs: shared by all members, or with one axis more than `model.input_axes`, that of members first.

    Raises:
        ValueError: the model has no `member(s)`, or they are not its members: their outputs differ.
    """
    if not hasattr(model, "member"):
        raise ValueError(
            f"model: expected member(s) that returns one net, as Dense and Ensemble have; "
            f"{type(model).__name__} has none"
        )
    ensemble: Any = model
    axes = getattr(model, "input_axes", None)
    own = axes is not None and inputs.ndim > axes
    nets = [(ensemble.member(s), inputs[s] if own else inputs) for s in range(ensemble.members)]
    # Those of symnets are right by construction, also where layers draw random numbers.
    if any(
        modification(model, cls, parts=cls is not Ensemble) is None
        for cls in (Dense, Convolutional, Ensemble)
    ):
        return nets
    with as_found(model), torch.no_grad():
        for s, (together, (net, x)) in enumerate(zip(model(own_copy(inputs)), nets, strict=True)):
            alone = net(own_copy(x))
            same = alone.shape == together.shape
            if not same or bool((alone - together).abs().max() > 1e-3 * together.abs().max()):
                raise ValueError(
                    f"model: member({s}) is not member {s}: its outputs differ from those of the ensemble; "
                    f"give {type(model).__name__} a member(s) of its own, or use Ensemble(models)"
                )
    return nets


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
