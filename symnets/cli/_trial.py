"""A trial forward pass on a few images, which detects errors before the measurement starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.observables import OUTPUT, OutputSelector, as_found, select_layers, select_output, selector_of


@dataclass(frozen=True)
class Trial:
    """Result of a trial forward pass.

    Attributes:
        layers: layers that can be measured.
        notes: sentences about layers that were left out.
    """

    layers: Sequence[str]
    notes: tuple[str, ...]


def parse_selectors(words: Sequence[str]) -> dict[str, OutputSelector]:
    """Selectors of outputs from "KEY", for the network's own output, and "LAYER=KEY", for that of a layer."""
    pairs = [word.rpartition("=")[::2] for word in words]
    return {name or OUTPUT: int(key) if key.lstrip("-").isdigit() else key for name, key in pairs}


def try_out(
    net: nn.Module,
    images: Float[Tensor, "n c h w"],
    *,
    layers: Sequence[str],
    output: Mapping[str, OutputSelector],
    name: str,
) -> Trial:
    """Determines the layers that return a tensor with one row for each image; notes name the others.

    An LSTM, for example, returns a tuple, and a layer that acts on windows of an image returns more rows than
    there are images.

    Args:
        net: the network.
        images: a few images.
        layers: as for `symnets.observables.stability`.
        output: selectors by layer name.
        name: name of the network, for error messages.

    Raises:
        ValueError: the network does not accept the images, or its output, or that of an explicitly named
            layer, is not a floating-point tensor with one row for each image.
    """
    modules, named = select_layers(net, layers)
    wrong: dict[str, str] = {}
    called: set[str] = set()

    def check_output(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, result: Any) -> None:
            called.add(layer)
            try:
                select_output(result, selector_of(output, layer, False), layer, len(images))
            except ValueError as error:
                wrong[layer] = str(error)

        return hook

    hooks = [module.register_forward_hook(check_output(layer)) for layer, module in modules.items()]
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
    if explicit := [layer for layer in wrong if layer in named or layer in output]:
        raise ValueError(
            f"{wrong[explicit[0]]} (on the command line: --output-key {explicit[0]}=INDEX-OR-KEY; "
            "--layers all omits such layers, --layers output omits all layers)"
        )
    if not wrong:
        return Trial(layers, ())
    few = ", ".join(list(wrong)[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
    note = f"not measured, because the output has not one row for each image: {few}; see --output-key"
    return Trial([layer for layer in modules if layer in called and layer not in wrong], (note,))
