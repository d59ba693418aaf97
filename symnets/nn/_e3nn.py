"""Conversion of blocks, with their weights, to modules of e3nn and back."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from symnets.nn._e3nn_layers import LAYERS
from symnets.nn._e3nn_products import PRODUCTS

COUNTERPARTS = [*PRODUCTS, *LAYERS]


def as_e3nn(block: nn.Module) -> nn.Module:
    """Module of e3nn that computes the same as a block, with copies of its weights.

    Features of the two differ only in their layout, which `symnets.ops.to_e3nn` and `from_e3nn` convert:

        as_e3nn(block)(to_e3nn(x, block.irreps_in)) = to_e3nn(block(x), block.irreps_out).

    In the second column, `o3` and `nn` are those of e3nn:

    | block | module of e3nn |
    |---|---|
    | `Linear` | `o3.Linear` |
    | `SpeciesLinear` | `o3.FullyConnectedTensorProduct`, whose second argument is the one-hot species |
    | `FullyConnectedTensorProduct`, `TensorSquare` | those of `o3` |
    | `MLP` | `nn.FullyConnectedNet` |
    | `Gate` | `nn.Gate`, between permutations of irreps (`nn.Extract`) where e3nn has another order |
    | `NormActivation` | `nn.NormActivation`: equal for norms much larger than `eps` |
    | `BatchNorm`, `Dropout` | those of `nn` |
    | `Convolution` | `E3nnConvolution`, of `o3.TensorProduct` and `nn.FullyConnectedNet` |
    | `torch.nn.Sequential` of these | `torch.nn.Sequential` |

    Raises:
        ValueError: the block has no counterpart in e3nn.
    """
    if type(block) is nn.Sequential:
        return nn.Sequential(*map(as_e3nn, block))
    pair = next((pair for pair in COUNTERPARTS if type(block) is pair.block), None)
    if pair is None:
        known = ", ".join(pair.block.__name__ for pair in COUNTERPARTS)
        raise ValueError(
            f"block: {type(block).__name__} has no counterpart in e3nn; those that have one are {known}; "
            "convert the parts of larger blocks one by one"
        )
    module = pair.to_module(block)
    return _finish(
        module, block, ((theirs, ours / scale) for ours, theirs, scale in pair.views(block, module))
    )


def from_e3nn_module(module: nn.Module, kind: type[nn.Module] | None = None) -> nn.Module:
    """Block that computes the same as a module of e3nn, with copies of its weights: the inverse of `as_e3nn`.

    Args:
        module: module of e3nn, one of those in the table of `as_e3nn`.
        kind: class of the block, where two are possible: pass `SpeciesLinear` to get it in place of
            `FullyConnectedTensorProduct`.

    Raises:
        ValueError: the module has no counterpart in symnets, or has an option that its counterpart lacks.
    """
    if type(module) is nn.Sequential:
        return nn.Sequential(*map(from_e3nn_module, module))
    pairs = [pair for pair in COUNTERPARTS if type(module) is pair.module and kind in (None, pair.block)]
    if not pairs:
        known = ", ".join(dict.fromkeys(pair.module.__name__ for pair in COUNTERPARTS))
        of_class = "" if kind is None else f" of class {kind.__name__}"
        raise ValueError(
            f"module: {type(module).__name__} has no counterpart{of_class} in symnets.nn; those that have "
            f"one are {known}"
        )
    block = pairs[0].to_block(module)
    return _finish(
        block, module, ((ours, theirs * scale) for ours, theirs, scale in pairs[0].views(block, module))
    )


def _finish(new: nn.Module, old: nn.Module, copies: Iterator[tuple[Tensor, Tensor]]) -> nn.Module:
    """The new module with the weights, the device and the mode of the old one."""
    tensors = [t for t in (*old.parameters(), *old.buffers()) if t.is_floating_point()]
    with torch.no_grad():
        if tensors:
            new.to(tensors[0])
        for target, value in copies:
            target.copy_(value)
    return new.train(old.training)
