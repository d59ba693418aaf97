"""Networks whose channels are shuffled: what is left of a property is due to space alone."""

import copy
from typing import TypeVar

import torch
from torch import Generator, nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def channel_shuffled(model: Model, *, generator: Generator, outputs: bool = False) -> Model:
    """A copy in which the input channels of every convolution in two dimensions are permuted at random.

    Each filter keeps its shape in space, but meets another channel. If D, G and R of the copy are those of
    the net, they come from pooling in space; if not, channels work together (Tomasini et al. 2022,
    arXiv:2210.01506). All weights with four axes are permuted, one permutation a weight; biases and
    normalisations are not, and depthwise convolutions have one input channel and stay as they are.

    Args:
        model: any module; it is not changed.
        generator: source of the permutations.
        outputs: permute output channels of the weights too.

    Raises:
        ValueError: there is no weight with four axes.
    """
    shuffled = copy.deepcopy(model)
    done: set[int] = set()
    for module in shuffled.modules():
        # Transposed convolutions count their inputs first.
        inputs = 0 if isinstance(module, nn.ConvTranspose2d) else 1
        for weight in module.parameters(recurse=False):
            if weight.ndim != 4 or id(weight) in done:
                continue
            done.add(id(weight))
            for axis in [inputs, 1 - inputs] if outputs else [inputs]:
                order = torch.randperm(weight.shape[axis], generator=generator, device=generator.device)
                weight.copy_(weight.index_select(axis, order.to(weight.device)))
    if not done:
        raise ValueError(f"model: {type(model).__name__} has no weight with four axes, no convolution")
    return shuffled
