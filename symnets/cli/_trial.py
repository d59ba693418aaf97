"""A trial forward pass on a few images, which detects errors before the measurement starts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.observables import OUTPUT, OutputSelector, as_found, select_layers, select_output, selector_of


def parse_selectors(words: Sequence[str]) -> dict[str, OutputSelector]:
    """Selectors of outputs: "KEY" selects from the network's own output, "LAYER=KEY" from that of a layer."""
    pairs = [word.rpartition("=")[::2] for word in words]
    return {name or OUTPUT: int(key) if key.lstrip("-").isdigit() else key for name, key in pairs}


def trial_pass(
    net: nn.Module,
    images: Float[Tensor, "n c h w"],
    *,
    layers: Sequence[str],
    output: Mapping[str, OutputSelector],
    name: str,
) -> None:
    """Checks that a network takes images, and that its output and the named layers can be measured.

    Args:
        net: the network.
        images: a few images.
        layers: layers to measure, as in `symnets.observables.stability`.
        output: selector of the tensor among several outputs, by name of the layer.
        name: name of the network, for error messages.

    Raises:
        ValueError: the network does not accept the images, or its output, or that of an explicitly named
            layer, is not a floating-point tensor with one row for each image.
    """
    modules, named = select_layers(net, layers)
    required = {
        layer: module
        for layer, module in modules.items()
        if (layer in named or layer in output) and not isinstance(module, torch.jit.ScriptModule)
    }
    wrong: dict[str, str] = {}

    def check_output(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, result: Any) -> None:
            try:
                select_output(result, selector_of(output, layer, False), layer, len(images))
            except ValueError as error:
                wrong[layer] = str(error)

        return hook

    hooks = [module.register_forward_hook(check_output(layer)) for layer, module in required.items()]
    like = next((p for p in net.parameters() if p.is_floating_point()), images)
    try:
        with as_found(net), torch.no_grad():
            result = net.eval()(images.to(like.device, like.dtype))
    # The exceptions that layers raise for inputs of a wrong shape.
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"--model: {name} does not accept images of shape {tuple(images.shape[1:])}: {reason}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    try:
        select_output(result, output.get(OUTPUT), OUTPUT, len(images))
    except ValueError as error:
        raise ValueError(f"{error} (on the command line: --output-key INDEX-OR-KEY)") from error
    for layer, message in wrong.items():
        raise ValueError(
            f"{message} (on the command line: --output-key {layer}=INDEX-OR-KEY; --layers all leaves out "
            "such layers, --layers output leaves out all layers)"
        )
