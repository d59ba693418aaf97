"""VGG: 3x3 convolutions and poolings, with or without batch normalisation."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, n_poolings, scaled

BLOCKS = ((1,), (2,), (4, 4), (8, 8), (8, 8))
"""Channels of the eight convolutions of VGG-11, relative to the first; a pooling ends each block."""


class VGG(nn.Module):
    """VGG-11 with fewer channels (Simonyan and Zisserman 2015, arXiv:1409.1556) and a linear readout.

    The eight convolutions are 3x3 with "same" padding and ReLU, in blocks that end with max-pooling by 2. The
    average over the remaining pixels (one, for the sizes below) and a linear readout replace three linear
    layers. Poolings that would leave no pixel are left out:

        32 -> 16 -> 8 -> 4 -> 2 -> 1,   28 -> 14 -> 7 -> 3 -> 1,   8 -> 4 -> 2 -> 1.

    With batch normalisation, which would subtract a bias, convolutions have none. Maps may shrink to one
    pixel, for which torch cannot normalise a training batch of one image.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of the 16 channels of the first block and the 128 of the last (64 and 512 as published).
        batch_norm: whether each convolution is followed by a batch normalisation.
    """

    def __init__(
        self, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        self.config = {
            "shape": self.shape,
            "n_classes": n_classes,
            "width": width,
            "batch_norm": batch_norm,
        }
        poolings = n_poolings(self.shape, len(BLOCKS))
        layers: list[tuple[str, nn.Module]] = []
        channels, number = self.shape[0], 0
        for block, factors in enumerate(BLOCKS, start=1):
            for factor in factors:
                number += 1
                filters = scaled(16 * factor, width)
                conv = nn.Conv2d(channels, filters, 3, padding=1, bias=not batch_norm)
                layers.append((f"conv{number}", conv))
                if batch_norm:
                    layers.append((f"norm{number}", nn.BatchNorm2d(filters)))
                layers.append((f"relu{number}", nn.ReLU()))
                channels = filters
            if block <= poolings:
                layers.append((f"pool{number}", nn.MaxPool2d(2)))
        layers += [("average", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(channels, n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))
