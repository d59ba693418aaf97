"""EfficientNet: inverted residuals with depthwise convolutions, squeeze and excitation, and SiLU."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models.image_nets.initial import draw_weights
from symnets.models.image_nets.inverted_residual import InvertedResidual, normalised
from symnets.models.image_nets.shapes import check_images, check_sizes, scaled

STAGES = (
    (1, 8, 1, 3),
    (4, 12, 2, 3),
    (4, 20, 2, 5),
    (4, 40, 2, 3),
    (4, 56, 1, 5),
    (4, 96, 2, 5),
    (4, 160, 1, 3),
)
"""Of each stage: expansion, channels, stride and kernel of its block. As published, but for an expansion of
4 instead of 6 and half of the channels."""


class EfficientNet(nn.Module):
    """The seven stages of EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946), narrower, with one block each.

    For small images the stem, a 3x3 convolution, has stride 1. Four stages have a stride of 2, which
    rounds up:

        32 -> 16 -> 8 -> 4 -> 2,   28 -> 14 -> 7 -> 4 -> 2,   8 -> 4 -> 2 -> 1 -> 1;

    then a 1x1 convolution to 4 times the channels, the average over pixels and a linear readout.
    Without dropout and stochastic depth: a training draws no random numbers here. From 8 pixels, maps
    shrink to one, where torch cannot normalise a training batch of one image.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of the 16 channels of the stem and the 8 to 160 of the stages.
    """

    def __init__(self, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        self.config = {"shape": self.shape, "n_classes": n_classes, "width": width}
        channels = scaled(16, width)
        layers: list[tuple[str, nn.Module]] = [("stem", normalised(self.shape[0], channels, 3))]
        for number, (expansion, size, stride, kernel) in enumerate(STAGES, start=1):
            out = scaled(size, width)
            block = InvertedResidual(channels, out, expansion=expansion, stride=stride, kernel=kernel)
            layers.append((f"block{number}", block))
            channels = out
        layers += [("head", normalised(channels, 4 * channels, 1))]
        layers += [("average", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(4 * channels, n_classes)
        draw_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))
