"""Initial weights of image nets."""

import math

from torch import nn


def draw_weights(model: nn.Module, readout: nn.Linear) -> None:
    """Draw all weights of convolutions and linear maps from torch's global generator.

        w ~ N(0, 2 / fan-in),   readout: w ~ N(0, 1 / fan-in),   biases 0,

    with fan-in = channels · kernel² seen by one output. The 2 makes up for the half of the second
    moment that a ReLU cuts off (He et al. 2015, arXiv:1502.01852); no ReLU follows the readout.
    Batch normalisations keep torch's start: factor 1, shift 0.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = 1.0 if module is readout else 2.0
            nn.init.normal_(module.weight, std=math.sqrt(gain / module.weight[0].numel()))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
