"""A trial of a network on two images, so that what does not fit is told before the work begins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.observables import OUTPUT, OutputSelector, as_found, select_layers, select_output, selector_of


@dataclass(frozen=True)
class Trial:
    """What a forward pass has shown.

    Attributes:
        layers: that can be measured.
        notes: sentences on those that were left out.
    """

    layers: Sequence[str]
    notes: tuple[str, ...]


def choices(words: Sequence[str]) -> dict[str, OutputSelector]:
    """Which part of outputs to take, from "KEY" for the network's own and "LAYER=KEY" for a layer's."""
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
    """Finds out which layers return a tensor with a row for each image; others are left out with a note.

    An LSTM returns a tuple, a layer within windows of an image more rows than there are images.

    Args:
        net: the network.
        images: a few.
        layers: as for `symnets.observables.stability.stability`.
        output: choices, by the name of the layer.
        name: of the network, for errors.

    Raises:
        ValueError: the network cannot take the images, or returns no tensor of floating numbers, or a layer
            that was named does not.
    """
    modules, named = select_layers(net, layers)
    wrong: dict[str, str] = {}
    called: set[str] = set()

    def look(layer: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, found: Any) -> None:
            called.add(layer)
            try:
                select_output(found, selector_of(output, layer, False), layer, len(images))
            except ValueError as error:
                wrong[layer] = str(error)

        return hook

    hooks = [module.register_forward_hook(look(layer)) for layer, module in modules.items()]
    like = next((p for p in net.parameters() if p.is_floating_point()), images)
    try:
        with as_found(net), torch.no_grad():
            found = net.eval()(images.to(like.device, like.dtype))
    # What layers raise for sizes that do not fit; the network may be anybody's.
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"model: {name} cannot take images of shape {tuple(images.shape[1:])}: {reason}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    try:
        select_output(found, output.get(OUTPUT), OUTPUT, len(images))
    except ValueError as error:
        raise ValueError(f"{error} (here: --output-key INDEX-OR-KEY)") from error
    if asked := [layer for layer in wrong if layer in named or layer in output]:
        raise ValueError(
            f"{wrong[asked[0]]} (here: --output-key {asked[0]}=INDEX-OR-KEY; --layers all leaves such layers "
            "out, --layers output all of them)"
        )
    if not wrong:
        return Trial(layers, ())
    few = ", ".join(list(wrong)[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
    note = f"not measured, for they return no tensor with a row for each image: {few}; see --output-key"
    return Trial([layer for layer in modules if layer in called and layer not in wrong], (note,))
