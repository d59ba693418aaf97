"""Members of `Dense` and `Convolutional`: initial weights, inputs, selection and stacking of several nets."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from symnets.device import model_device
from symnets.nn import modification

Net = TypeVar("Net", bound=nn.Module)


def initial_parameters(
    sample: Callable[[], list[Tensor]], members: int | None, *, bias: bool, dtype: torch.dtype | None
) -> tuple[nn.ParameterList, nn.ParameterList]:
    """Weights of each layer, sampled for one net after another, and biases of zero.

    Args:
        sample: returns the weights of one net, whose first axis is that of the outputs of the layer.
        members: number of nets; None for a single one, without an axis for it.
        bias: whether layers have biases.
        dtype: dtype of the parameters; torch's default if None.
    """
    nets = [sample() for _ in range(members or 1)]
    layers = nets[0] if members is None else [torch.stack(layer) for layer in zip(*nets, strict=True)]
    dtype = dtype or torch.get_default_dtype()
    weights = nn.ParameterList([nn.Parameter(layer.to(dtype)) for layer in layers])
    axes = 1 if members is None else 2
    biases = [layer.new_zeros(layer.shape[:axes], dtype=dtype) for layer in layers] if bias else []
    return weights, nn.ParameterList([nn.Parameter(b) for b in biases])


def with_member_axis(net: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases of a net, with a member axis of length 1 if it is a single one."""
    if net.members is not None:
        return list(net.weights), list(net.biases)
    return [w[None] for w in net.weights], [b[None] for b in net.biases]


def check_inputs(net: Any, x: Tensor, sizes: tuple[int, ...], hint: str = "") -> None:
    """Check that inputs are (n, *sizes), or (S, n, *sizes) for a net of S members, of the weights' dtype.

    Args:
        net: the net.
        x: inputs.
        sizes: shape of one input.
        hint: what to do about another shape.

    Raises:
        ValueError: they have another type, dtype or shape.
    """
    dtype = net.weights[0].dtype
    if not isinstance(x, Tensor):
        raise ValueError(f"x: expected a tensor, got a {type(x).__name__}; use torch.as_tensor")
    if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"x: expected {dtype} as the weights, got {x.dtype}; use x.to({dtype})")
    lead = x.ndim - len(sizes)
    shared_or_own = lead == 1 or (lead == 2 and x.shape[0] == net.members)
    if not shared_or_own or x.shape[lead:] != sizes:
        each = ", ".join(map(str, sizes))
        own = "" if net.members is None else f" or ({net.members}, n, {each})"
        raise ValueError(f"x: expected shape (n, {each}){own}, got {tuple(x.shape)}{hint}")


def selected(net: Net, indices: Sequence[int] | Tensor) -> Net:
    """Copy of a `Dense` or `Convolutional` with the members at these indices."""
    members, device = getattr(net, "members", None) or 0, model_device(net)
    chosen = torch.arange(members, device=device)[torch.as_tensor(indices, device=device)]
    return with_parameters(net, [p[chosen] for p in net.parameters()], len(chosen))


def with_parameters(net: Net, parameters: Sequence[Tensor], members: int | None) -> Net:
    """Copy of a `Dense` or `Convolutional` with other parameters, frozen where its own are.

    The class, the hooks and all other attributes of the net are kept.

    Raises:
        ValueError: the net has parameters that its class does not define, which a copy would lose.
    """
    mine: Any = net
    problem = modification(net, type(net), hooks=False)
    if not problem and len(list(net.parameters())) != len(mine.weights) + len(mine.biases):
        problem = f"{type(net).__name__} has other parameters than weights and biases"
    if problem:
        raise ValueError(f"model: cannot separate or join its members, {problem}; use Ensemble(models)")
    twin: Any = copy.copy(net)
    vars(twin).update({key: copy.copy(value) for key, value in vars(net).items() if isinstance(value, dict)})
    copies = [
        nn.Parameter(p.detach().clone(), requires_grad=own.requires_grad)
        for p, own in zip(parameters, net.parameters(), strict=True)
    ]
    n = len(mine.weights)
    twin.weights, twin.biases = nn.ParameterList(copies[:n]), nn.ParameterList(copies[n:])
    twin.members = members
    return twin


def stacked(models: Sequence[Net]) -> Net:
    """Stack single nets of one class and equal arguments into one net with members.

    Raises:
        ValueError: there are no nets, they differ, or one has hooks or other changes, which would be lost.
    """
    if not models:
        raise ValueError("models: expected at least one, got none")
    first: Any = models[0]
    expected = _traits(first)
    for number, model in enumerate(models):
        for trait, value in _traits(model).items():
            if value != expected[trait] or (trait == "members" and value is not None):
                raise ValueError(
                    f"models: expected single nets of one shape and kind, but {trait} of number {number} is "
                    f"{value}, and that of number 0 is {expected[trait]}"
                )
        if problem := modification(model, type(first)):
            raise ValueError(f"models: expected unmodified nets, but {problem}")
    columns = zip(*[model.parameters() for model in models], strict=True)
    return with_parameters(first, [torch.stack(column) for column in columns], len(models))


def _traits(net: Any) -> dict[str, Any]:
    """Attributes that must be equal in all nets that are stacked."""
    parameters = list(net.parameters())
    return {
        "members": net.members,
        "arguments": net.extra_repr(),
        "activation": net.activation,
        "scales": net.scales,
        "training": net.training,
        "dtype": [p.dtype for p in parameters],
        "device": [p.device for p in parameters],
        "requires_grad": [p.requires_grad for p in parameters],
    }
