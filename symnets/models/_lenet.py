"""LeNet: two convolutions with pooling, three linear layers."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, scaled


class LeNet(nn.Module):
    """LeNet: convolution 5x5, max-pool, convolution 5x5, max-pool, three linear layers.

    ReLU follows each convolution and each hidden linear layer. The layers have 6 and 16 channels, 120 and 84
    units, as in LeCun et al. 1998 (Proc. IEEE 86, 2278), where pooling was an average with trained factors.
    Convolutions have no padding, except that the first pads images below 32 pixels, and the second images
    below 16 pixels, by 2 zeros on each side. Maps shrink as

        32 -> 28 -> 14 -> 10 -> 5,   28 -> 28 -> 14 -> 10 -> 5,   8 -> 8 -> 4 -> 4 -> 2.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of all numbers of channels and units.

    Example:
        `LeNet((1, 28, 28))` has 61,706 parameters.
    """

    def __init__(self, shape: Sequence[int], n_classes: int = 10, *, width: float = 1.0) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        self.config = {"shape": self.shape, "n_classes": n_classes, "width": width}
        channels, rows, columns = self.shape
        first, second, third, fourth = (scaled(size, width) for size in (6, 16, 120, 84))
        smaller_side = min(rows, columns)
        padding = (2 if smaller_side < 32 else 0, 2 if smaller_side < 16 else 0)
        maps = [_side_after_poolings(side, padding) for side in (rows, columns)]
        self.features = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=nn.Conv2d(channels, first, 5, padding=padding[0]),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(first, second, 5, padding=padding[1]),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                flatten=nn.Flatten(),
                linear3=nn.Linear(second * maps[0] * maps[1], third),
                relu3=nn.ReLU(),
                linear4=nn.Linear(third, fourth),
                relu4=nn.ReLU(),
            )
        )
        self.readout = nn.Linear(fourth, n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))


def _side_after_poolings(side: int, padding: tuple[int, int]) -> int:
    """Rows (or columns) of the maps after both convolutions and poolings."""
    for zeros in padding:
        side = (side + 2 * zeros - 4) // 2
    return side
