"""FullyConnected: an image net without convolutions, which ignores the positions of pixels."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, scaled


class FullyConnected(nn.Module):
    """Fully connected image net: hidden layers of equal width with ReLU, and a linear readout.

    Pixels enter in the order of the tensor: channel by channel, row by row. `Dense` is the same
    function with a member axis; here each layer is a module, so that hooks can record its output.

    Args:
        shape: (channels, rows, columns) of an image.
        n_classes: number of logits.
        depth: number of hidden layers.
        width: factor of the 256 units of each hidden layer.

    Raises:
        ValueError: a depth below 1.
    """

    def __init__(
        self, shape: Sequence[int], n_classes: int = 10, *, depth: int = 2, width: float = 1.0
    ) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width, smallest=1)
        if depth < 1:
            raise ValueError(f"depth: expected at least 1 hidden layer, got {depth}")
        self.config = {"shape": self.shape, "n_classes": n_classes, "depth": depth, "width": width}
        channels, rows, columns = self.shape
        units = scaled(256, width)
        layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
        for layer in range(1, depth + 1):
            fan_in = channels * rows * columns if layer == 1 else units
            layers += [(f"linear{layer}", nn.Linear(fan_in, units)), (f"relu{layer}", nn.ReLU())]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(units, n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits."""
        return self.readout(self.features(check_images(images, self.shape)))
