"""Hidden representations: outputs of the hidden layers of a net, one row for each input."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from symnets.device import model_device
from symnets.models import Convolutional, Dense
from symnets.names import did_you_mean
from symnets.nn import modification
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._stability._features import (
    OUTPUT,
    Features,
    Layers,
    OutputSelector,
    select_layers,
)
from symnets.observables._tangent_kernel._members import has_inputs_of_members

Representations = dict[str, Float[Tensor, "*members n features"]]
"""Outputs of layers by name, one row for each input."""


@torch.no_grad()
def hidden_representations(
    model: nn.Module,
    x: Float[Tensor, "..."],
    layers: Layers = None,
    *,
    output: OutputSelector | Mapping[str, OutputSelector] | None = None,
    batch_size: int = 500,
) -> Representations:
    """Outputs of hidden layers by name, in order of execution, each flattened to one row per input.

    By default these are the pre-activations z_1, ..., z_L of the hidden layers of a `Dense` or
    `Convolutional`. For any other module they are the outputs of its linear and convolutional layers, except
    the one called last, which is taken for the output layer. Normalisations that follow a layer are not
    applied; choose them, or the activations, by `layers`.

    The model is evaluated in eval mode, in batches on the device of its parameters, and left as found.

    Args:
        model: any module. A wrapper such as `Scaled` has no layers of its own: pass the net inside.
        x: inputs (n, ...), or (S, n, ...) if the model has members and each has its own.
        layers: None; for `Dense` and `Convolutional` names among "z1", ..., "zL" (pre-activations) and "a1",
            ..., "aL" (activations), or "all"; for other modules names and types as in `stability`, such as
            "all", "features.linear1", nn.ReLU.
        output: selectors for layers whose output is not a tensor, as in `stability`.
        batch_size: inputs in a forward pass.

    Returns:
        Tensors (n, features), or (S, n, features) for a model with S members, on the device of x. The
        features of a convolution are its channels and positions, flattened.

    Raises:
        ValueError: no layer, an unknown one, a layer without a row for each input, or no input.

    Example:
        >>> net = Dense(5, 20, 2)
        >>> {name: tuple(z.shape) for name, z in hidden_representations(net, torch.randn(7, 5)).items()}
        {'z1': (7, 20), 'z2': (7, 20)}
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
    if getattr(model, "members", None) is not None:
        ensemble: Any = model
        own = has_inputs_of_members(model, x)
        parts = [
            hidden_representations(
                ensemble.member(s), x[s] if own else x, layers, output=output, batch_size=batch_size
            )
            for s in range(ensemble.members)
        ]
        return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    if len(x) == 0:
        raise ValueError("x: expected at least one input, got none")
    device = model_device(model, x.device)
    rows: dict[str, list[Tensor]] = {}
    if modification(model, Dense) is None or modification(model, Convolutional) is None:
        for batch in x.split(batch_size):
            for name, values in _closed_form(model, batch.to(device)):
                rows.setdefault(name, []).append(values.flatten(1).to(x.device))
        chosen = _chosen(list(rows), layers)
    else:
        default = (nn.Linear, _ConvNd)
        present = [t for t in default if any(isinstance(m, t) for m in model.modules())]
        selected, named = select_layers(model, present if layers is None else layers)
        with as_found(model), Features(model, selected, named, output) as features:
            model.eval()
            for batch in x.split(batch_size):
                features.forward(
                    copy_inputs(batch).to(device),
                    lambda name, values: rows.setdefault(name, []).append(values.to(x.device, copy=True)),
                )
            notes = features.notes()
        chosen = [name for name in rows if name != OUTPUT]
        chosen = chosen[:-1] if layers is None else chosen
        if not chosen:
            raise ValueError(
                f"layers: {type(model).__name__} has no such hidden layer; pass layers, such as 'all'"
                + "".join(f"; {note}" for note in notes)
            )
    return {name: torch.cat(rows[name]) for name in chosen}


def _closed_form(model: Any, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Pre-activations and activations of the hidden layers of a single `Dense` or `Convolutional`."""
    model._check(x)
    a = x
    for layer, (scale, weight) in enumerate(zip(model.scales[:-1], model.weights[:-1], strict=True)):
        bias = model.biases[layer] if len(model.biases) else None
        if isinstance(model, Dense):
            z = F.linear(a, scale * weight, bias)
        else:
            z = F.conv2d(a, scale * weight, bias, model.strides[layer], model.kernel // 2)
        a = model.activation(z)
        yield f"z{layer + 1}", z
        yield f"a{layer + 1}", a


def _chosen(names: list[str], layers: Layers) -> list[str]:
    """Names of the requested layers of a `Dense` or `Convolutional`, in order of execution."""
    if layers is None:
        return [name for name in names if name[0] == "z"]
    if layers == "all":
        return names
    requested = [layers] if isinstance(layers, str | type) else list(layers)
    for name in requested:
        if name not in names:
            raise ValueError(f"layers: unknown {name!r}; {did_you_mean(name, names)}")
    return [name for name in names if name in requested]
