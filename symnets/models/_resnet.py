"""ResNet: residual blocks of two convolutions."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, scaled


class ResNet(nn.Module):
    """ResNet-18 with fewer channels (He et al. 2016, arXiv:1512.03385): four stages of two `BasicBlock`s.

    For small images the stem is a 3x3 convolution of stride 1 without pooling. The stages have 1, 2, 4, 8
    times the channels of the first. Each stage after the first halves rows and columns, rounded up:

        32 -> 16 -> 8 -> 4,   28 -> 14 -> 7 -> 4,   8 -> 4 -> 2 -> 1.

    An average over pixels and a linear readout follow. Convolutions have no bias, since batch normalisation
    would subtract it. Images of 8 pixels shrink to one pixel, for which torch cannot normalise a training
    batch of one image.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of the 8 channels of the first stage and the 64 of the last (64 and 512 as published).
    """

    def __init__(self, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        self.config = {"shape": self.shape, "n_classes": n_classes, "width": width}
        channels = scaled(8, width)
        layers: list[tuple[str, nn.Module]] = [
            ("conv", nn.Conv2d(self.shape[0], channels, 3, padding=1, bias=False)),
            ("norm", nn.BatchNorm2d(channels)),
            ("relu", nn.ReLU()),
        ]
        for stage in range(4):
            for block in range(2):
                out = scaled(8 * 2**stage, width)
                stride = 2 if stage and not block else 1
                layers.append((f"block{2 * stage + block + 1}", BasicBlock(channels, out, stride)))
                channels = out
        layers += [("average", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(channels, n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions, x -> ReLU(s(x) + norm conv ReLU norm conv x).

    The shortcut s is the identity, or a 1x1 convolution with a batch normalisation where the number
    of channels or of pixels changes.

    Args:
        channels: number of channels of the input.
        out: number of channels of the output.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(channels, out, 1, stride=stride, bias=False), norm=nn.BatchNorm2d(out)
                )
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n out r c"]:
        """Maps after the block."""
        residual = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(self.shortcut(x) + residual)
