"""HarmonicNetwork2D: an image net of convolutions by circular harmonics, invariant under rotations."""

from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import check_images, check_sizes, init_weights, scaled
from symnets.nn import CircularConvolution, MagnitudeActivation, Magnitudes

BLOCKS = ((1, 2), (1, 1), (2, 2), (4, 1))
"""For each convolution, the number of channels of each order relative to the first one, and the stride."""


class HarmonicNetwork2D(nn.Module):
    """Harmonic network (Worrall et al. 2017, arXiv:1612.04642): logits that are invariant under rotations.

    Four convolutions by circular harmonics between fields of rotation orders 0 to `max_order`, each followed
    by batch normalisation and ReLU of magnitudes; then the magnitudes of all fields, their average over
    pixels, and a linear readout. The first and the third convolution halve the maps, rounded up, if these
    have at least 7 pixels along each axis:

        32 -> 16 -> 8,   28 -> 14 -> 7,   8 -> 4.

    Logits are exactly invariant under quarter turns of square images of any size. Under other rotations the
    error falls as pixels resolve the image better. With `reflections=True`, logits are invariant under
    reflections too.

    Args:
        shape: (channels, rows, columns) of an image, at least 4 x 4.
        n_classes: number of logits.
        width: factor of the numbers of channels of each order, 8, 8, 16 and 32.
        max_order: largest rotation order of fields; 0 gives isotropic filters.
        reflections: whether reflected images have the same logits; phases of filters are then 0.

    Raises:
        ValueError: a negative `max_order`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int = 10,
        *,
        width: float = 1.0,
        max_order: int = 2,
        reflections: bool = False,
    ) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, width)
        if max_order < 0:
            raise ValueError(f"max_order: expected at least 0, got {max_order}")
        self.config = {
            "shape": self.shape,
            "n_classes": n_classes,
            "width": width,
            "max_order": max_order,
            "reflections": reflections,
        }
        channels, rows, columns = self.shape
        fields: tuple[int, ...] = (channels,)
        layers: list[tuple[str, nn.Module]] = []
        for number, (factor, stride) in enumerate(BLOCKS, start=1):
            stride = stride if min(rows, columns) >= 7 else 1
            # Kernels that halve maps of even and odd sizes symmetrically.
            kernel = (6 + rows % 2, 6 + columns % 2) if stride == 2 else (5, 5)
            out = (scaled(8 * factor, width),) * (max_order + 1)
            conv = CircularConvolution(fields, out, kernel, stride=stride, phases=not reflections)
            layers += [(f"conv{number}", conv), (f"activation{number}", MagnitudeActivation(out))]
            fields, rows, columns = out, -(-rows // stride), -(-columns // stride)
        layers += [
            ("invariants", Magnitudes(fields)),
            ("average", nn.AdaptiveAvgPool2d(1)),
            ("flatten", nn.Flatten()),
        ]
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(sum(fields), n_classes)
        init_weights(self, self.readout)

    def forward(self, images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n classes"]:
        """Logits of each image."""
        return self.readout(self.features(check_images(images, self.shape)))
