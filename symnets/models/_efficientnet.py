"""EfficientNet: inverted residuals with depthwise convolutions, squeeze and excitation, and SiLU."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, scaled


class InvertedResidual(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, squeeze and excitation, 1x1 projection.

    Each convolution is followed by a batch normalisation, all but the projection by SiLU as well. The
    input is added where it has the shape of the output (Sandler et al. 2018, arXiv:1801.04381).

    Args:
        channels: number of channels of the input.
        out: number of channels of the output.
        expansion: ratio of the channels within the block to those of the input; 1 for no expansion.
        stride: stride of the depthwise convolution.
        kernel: width of the depthwise convolution.
    """

    def __init__(self, channels: int, out: int, *, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = expansion * channels
        layers = OrderedDict[str, nn.Module]()
        if expansion != 1:
            layers["expand"] = normalised(channels, inner, 1)
        layers["depthwise"] = normalised(inner, inner, kernel, stride=stride, groups=inner)
        layers["excite"] = SqueezeExcitation(inner, max(1, channels // 4))
        layers["project"] = normalised(inner, out, 1, silu=False)
        self.change = nn.Sequential(layers)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n out r c"]:
        """Maps after the block."""
        return x + self.change(x) if self.residual else self.change(x)


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation, x -> x · σ(W SiLU(V ⟨x⟩ + a) + b): a trained factor for each channel.

    ⟨x⟩ is the average of each channel over pixels and σ the sigmoid function.

    Source: Hu et al. 2018, arXiv:1709.01507, with ReLU in place of SiLU.

    Args:
        channels: number of channels of the maps.
        squeezed: number of components of V ⟨x⟩.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.factors = nn.Sequential(
            OrderedDict[str, nn.Module](
                average=nn.AdaptiveAvgPool2d(1),
                squeeze=nn.Conv2d(channels, squeezed, 1),
                silu=nn.SiLU(),
                excite=nn.Conv2d(squeezed, channels, 1),
                sigmoid=nn.Sigmoid(),
            )
        )

    def forward(
        self, x: Float[Tensor, "n channels rows columns"]
    ) -> Float[Tensor, "n channels rows columns"]:
        """Maps, each channel times its factor."""
        return x * self.factors(x)


def normalised(
    channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, silu: bool = True
) -> nn.Sequential:
    """A "same" convolution without bias, batch normalisation, and SiLU unless `silu` is false.

    The normalisation adds 10⁻³ to variances, as published, since depthwise maps can be nearly constant. Its
    running averages have torch's momentum 0.1. With the published 0.01 the initial values would still have a
    weight of 0.99^300 = 5 % after 300 steps.
    """
    padding = kernel // 2
    conv = nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    layers = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(out, eps=1e-3))
    if silu:
        layers["silu"] = nn.SiLU()
    return nn.Sequential(layers)


STAGES = (
    (1, 8, 1, 3),
    (4, 12, 2, 3),
    (4, 20, 2, 5),
    (4, 40, 2, 3),
    (4, 56, 1, 5),
    (4, 96, 2, 5),
    (4, 160, 1, 3),
)
"""Expansion, channels, stride and kernel of the block of each stage. They are those of the paper, except for
an expansion of 4 instead of 6 and half the number of channels."""


class EfficientNet(nn.Module):
    """EfficientNet-B0 with fewer channels (Tan and Le 2019, arXiv:1905.11946): seven stages of one block.

    The stem is a 3x3 convolution of stride 1, for small images. Four stages halve the sides, rounded up:

        32 -> 16 -> 8 -> 4 -> 2,   28 -> 14 -> 7 -> 4 -> 2,   8 -> 4 -> 2 -> 1 -> 1.

    A 1x1 convolution to 4 times the channels, an average over pixels and a linear readout follow. Dropout and
    stochastic depth are left out: the net is deterministic in training. Images of 8 pixels shrink to one
    pixel, for which torch cannot normalise a training batch of one image.

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
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))
