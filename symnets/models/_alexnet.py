"""AlexNet: five convolutions, the first with a stride, and three linear layers."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, n_poolings, scaled


class AlexNet(nn.Module):
    """AlexNet's sequence of layers, with filters and strides for small images:

        conv 5x5 / 2, pool, conv 5x5, pool, conv 3x3, conv 3x3, conv 3x3, pool, linear, linear, readout

    with ReLU after each convolution and hidden linear layer, 32, 64, 96, 64, 64 channels and 256, 256 units,
    "same" padding and max-pooling by 2. A pooling that would leave no pixel is left out, such as the third
    one for 8 pixels. The dropout and response normalisation of Krizhevsky et al. 2012 (NeurIPS 25) are left
    out: the net is deterministic in training.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of all numbers of channels and units.
    """

    def __init__(self, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        self.config = {"shape": self.shape, "n_classes": n_classes, "width": width}
        channels, rows, columns = self.shape
        maps = [(side + 1) // 2 for side in (rows, columns)]  # after the first convolution
        poolings = n_poolings(maps, 3)
        layers: list[tuple[str, nn.Module]] = []
        pooled = 0
        # Channels, kernel, stride, and whether a pooling follows.
        convolutions = [
            (32, 5, 2, True),
            (64, 5, 1, True),
            (96, 3, 1, False),
            (64, 3, 1, False),
            (64, 3, 1, True),
        ]
        for number, (size, kernel, stride, pool) in enumerate(convolutions, start=1):
            filters = scaled(size, width)
            conv = nn.Conv2d(channels, filters, kernel, stride=stride, padding=kernel // 2)
            layers += [(f"conv{number}", conv), (f"relu{number}", nn.ReLU())]
            if pool and pooled < poolings:
                pooled += 1
                layers.append((f"pool{number}", nn.MaxPool2d(2)))
            channels = filters
        units = scaled(256, width)
        fan_in = channels * (maps[0] >> pooled) * (maps[1] >> pooled)
        layers += [("flatten", nn.Flatten())]
        layers += [("linear6", nn.Linear(fan_in, units)), ("relu6", nn.ReLU())]
        layers += [("linear7", nn.Linear(units, units)), ("relu7", nn.ReLU())]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(units, n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))
