"""Members of an ensemble as nets of their own."""

from typing import Any

import torch
from torch import nn

from symnets.models import Convolutional, Dense, Ensemble
from symnets.nn import modification
from symnets.observables._as_found import as_found, copy_inputs


def has_inputs_of_members(model: nn.Module, inputs: Any) -> bool:
    """Whether each member of a model has its own inputs, which are stacked along the first axis.

    They then have one axis more than `model.input_axes`. A model without `input_axes`, such as an `Ensemble`,
    has inputs that its members share.
    """
    members, axes = getattr(model, "members", None), getattr(model, "input_axes", None)
    return members is not None and axes is not None and inputs.ndim > axes


def single_nets(model: nn.Module, inputs: Any) -> list[tuple[nn.Module, Any]]:
    """The members of an ensemble as nets of their own, each with its inputs.

    Args:
        model: a model with `members` and `member(s)`.
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
    own = has_inputs_of_members(model, inputs)
    nets = [(ensemble.member(s), inputs[s] if own else inputs) for s in range(ensemble.members)]
    # No check for classes of symnets: it would fail where layers draw random numbers.
    if any(
        modification(model, cls, parts=cls is not Ensemble) is None
        for cls in (Dense, Convolutional, Ensemble)
    ):
        return nets
    with as_found(model), torch.no_grad():
        for s, (together, (net, x)) in enumerate(zip(model(copy_inputs(inputs)), nets, strict=True)):
            alone = net(copy_inputs(x))
            same = alone.shape == together.shape
            if not same or bool((alone - together).abs().max() > 1e-3 * together.abs().max()):
                raise ValueError(
                    f"model: member({s}) is not member {s}: its outputs differ from those of the ensemble; "
                    f"give {type(model).__name__} a member(s) of its own, or use Ensemble(models)"
                )
    return nets
