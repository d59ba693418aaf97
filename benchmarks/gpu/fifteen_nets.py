"""The fifteen architectures of Petrini et al. 2021 at their published widths, with their optimizers.

Eight are those of `symnets.models`. The deeper ones, VGG-16 and 19, ResNet-34 and 50, are built here from the
same layers. AlexNet and EfficientNet are symnets' versions for small images; EfficientNet has the channels of
B0, but one block in each stage and an expansion of 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn

from symnets.models import VGG as VGG11
from symnets.models import (
    AlexNet,
    BasicBlock,
    EfficientNet,
    FullyConnected,
    LeNet,
    init_weights,
    n_poolings,
    scaled,
)
from symnets.models import ResNet as ResNet18

Shape = Sequence[int]
N_CLASSES = 10


@dataclass(frozen=True)
class Architecture:
    """A net and its optimizer.

    Attributes:
        build: from the shape of an image and a factor of the published width to a net.
        optimizer: SGD with Nesterov momentum 0.9, or AdamW.
        rate: largest learning rate, for batches of 128; it grows with the batch.
        weight_decay: of SGD a term of the gradient, of AdamW decoupled.
    """

    build: Callable[[Shape, float], nn.Module]
    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = 0.1
    weight_decay: float = 5e-4


class VGG(nn.Module):
    """VGG with any number of convolutions in each of five blocks, read out after an average over pixels."""

    def __init__(self, shape: Shape, width: float, blocks: Sequence[int], batch_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, poolings = shape[0], n_poolings(shape, len(blocks))
        for block, (convolutions, size) in enumerate(zip(blocks, (64, 128, 256, 512, 512), strict=True)):
            for _ in range(convolutions):
                filters = scaled(size, width)
                layers.append(nn.Conv2d(channels, filters, 3, padding=1, bias=not batch_norm))
                layers += [nn.BatchNorm2d(filters), nn.ReLU()] if batch_norm else [nn.ReLU()]
                channels = filters
            if block < poolings:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.readout = nn.Linear(channels, N_CLASSES)
        init_weights(self, self.readout)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.readout(self.features(images))


class ResNet(nn.Module):
    """ResNet-34 of basic blocks or ResNet-50 of bottlenecks, with the stem for small images."""

    def __init__(self, shape: Shape, width: float, *, bottleneck: bool) -> None:
        super().__init__()
        channels = scaled(64, width)
        layers: list[nn.Module] = [
            nn.Conv2d(shape[0], channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                inner, stride = scaled(64 * 2**stage, width), 2 if stage and not block else 1
                out = 4 * inner if bottleneck else inner
                made = (
                    Bottleneck(channels, inner, stride) if bottleneck else BasicBlock(channels, out, stride)
                )
                layers.append(made)
                channels = out
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.readout = nn.Linear(channels, N_CLASSES)
        init_weights(self, self.readout)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.readout(self.features(images))


class Bottleneck(nn.Module):
    """x -> ReLU(s(x) + 1x1 conv, 3x3 conv with the stride, 1x1 conv to four times the channels)."""

    def __init__(self, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        out = 4 * inner
        self.change = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            conv = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The maps after the block."""
        return self.relu(self.shortcut(x) + self.change(x))


def _fully_connected(depth: int) -> Architecture:
    def build(shape: Shape, width: float) -> nn.Module:
        return FullyConnected(shape, N_CLASSES, depth=depth, width=width / 4)  # 64 units

    return Architecture(build, "adamw", 1e-3, 0.0)


def _symnets(net: Callable[..., nn.Module], factor: float, **options: bool) -> Callable[..., nn.Module]:
    return lambda shape, width: net(shape, N_CLASSES, width=factor * width, **options)


def _vgg(blocks: Sequence[int], *, batch_norm: bool) -> Callable[..., nn.Module]:
    return partial(VGG, blocks=blocks, batch_norm=batch_norm)


def _plain(build: Callable[[Shape, float], nn.Module], rate: float) -> Architecture:
    """Net without batch normalisation, with AdamW: by SGD deep ones learn nothing in hundreds of steps."""
    return Architecture(build, "adamw", rate, 1e-2)


NETS = {
    "resnet18": Architecture(_symnets(ResNet18, 8.0)),
    "fc2": _fully_connected(2),
    "vgg11_bn": Architecture(_symnets(VGG11, 4.0, batch_norm=True)),
    "lenet": _plain(_symnets(LeNet, 1.0), 5e-4),
    "alexnet": _plain(_symnets(AlexNet, 4.0), 5e-4),
    "efficientnet": Architecture(_symnets(EfficientNet, 2.0)),
    "vgg16_bn": Architecture(_vgg((2, 2, 3, 3, 3), batch_norm=True)),
    "fc4": _fully_connected(4),
    "vgg11": _plain(_symnets(VGG11, 4.0, batch_norm=False), 2.5e-4),
    "resnet34": Architecture(partial(ResNet, bottleneck=False)),
    "vgg16": _plain(_vgg((2, 2, 3, 3, 3), batch_norm=False), 2.5e-4),
    "fc6": _fully_connected(6),
    "vgg19_bn": Architecture(_vgg((2, 2, 4, 4, 4), batch_norm=True)),
    "vgg19": _plain(_vgg((2, 2, 4, 4, 4), batch_norm=False), 2.5e-4),
    "resnet50": Architecture(partial(ResNet, bottleneck=True)),
}
"""Architectures by name, the most informative first: different kinds of nets, then depths."""
