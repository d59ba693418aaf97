"""SphericalCNN: a classifier of signals on the sphere, by convolutions over rotations."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Latitudes
from symnets.models._activation import find_activation
from symnets.models._image_net_layers import check_images, check_sizes
from symnets.nn import S2Convolution, S2Grid, SO3Activation, SO3BatchNorm, SO3Convolution


class SphericalCNN(nn.Module):
    """Spherical CNN (Cohen et al. 2018, arXiv:1801.10130): logits that are invariant under rotations.

    Inputs are signals on a grid of latitudes and longitudes. The layers are

        coefficients of spherical harmonics up to lmax[0]
        -> convolution of the sphere with filters: signals on the group of rotations
        -> activation on a grid of rotations, projected to lmax[1] -> convolution on the group -> ...
        -> activation, mean over all rotations -> linear readout,

    with batch normalisation after each convolution and after the mean.

    Convolutions are exactly equivariant. An activation creates components of higher degrees than its grid
    resolves, which break the symmetry: the logits change under rotations, by less for larger `oversampling`
    and for finer sampling of the input. They are exactly invariant under rotations about the polar axis by
    multiples of 2π / steps that move the grid of the input onto itself.

    Args:
        shape: (channels, latitudes, longitudes) of a signal. lmax[0] needs 2 lmax[0] + 1 longitudes and, if
            equiangular, as many latitudes.
        n_classes: number of logits.
        lmax: highest degree of each convolution; it must not increase from one to the next.
        channels: number of channels after each convolution.
        oversampling: the grids of activations resolve degrees up to oversampling · lmax.
        activation: name of the activation, such as "relu" or "swish".
        kind: kind of the input's latitudes: "equiangular" or "gauss", from north to south.
        steps: number of rotations about the polar axis under which activations are exactly equivariant.
        batch_norm: whether signals are normalised after each convolution, and the means before the readout.
            Without it training is slow, because means over rotations differ little between signals.

    Raises:
        ValueError: the grid is too coarse for lmax[0], or an argument is out of range.

    Example:
        >>> SphericalCNN((1, 24, 24))(torch.randn(5, 1, 24, 24)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int = 10,
        *,
        lmax: Sequence[int] = (8, 5),
        channels: Sequence[int] = (16, 32),
        oversampling: float = 1.0,
        activation: str = "relu",
        kind: Latitudes = "equiangular",
        steps: int = 4,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.shape = check_sizes(shape, n_classes, 1.0, smallest=1)
        self.config = {
            "shape": self.shape,
            "n_classes": n_classes,
            "lmax": tuple(lmax),
            "channels": tuple(channels),
            "oversampling": oversampling,
            "activation": activation,
            "kind": kind,
            "steps": steps,
            "batch_norm": batch_norm,
        }
        if not len(lmax) == len(channels) > 0:
            raise ValueError(f"lmax, channels: expected one of each a convolution, got {lmax}, {channels}")
        if list(lmax) != sorted(lmax, reverse=True):
            raise ValueError(f"lmax: expected degrees that do not grow, got {tuple(lmax)}")
        if oversampling < 1 or steps < 1:
            raise ValueError(f"oversampling, steps: expected at least 1, got {oversampling}, {steps}")
        self.grid = S2Grid(lmax[0], self.shape[1:], kind=kind)
        layers: list[tuple[str, nn.Module]] = []
        previous = self.shape[0]
        for k, (degree, width, following) in enumerate(zip(lmax, channels, [*lmax[1:], 0], strict=True)):
            convolution = SO3Convolution if k else S2Convolution
            layers.append((f"conv{k + 1}", convolution(previous, width, degree, bias=not batch_norm)))
            if batch_norm:
                layers.append((f"norm{k + 1}", SO3BatchNorm(width)))
            grid = _rotations(degree, oversampling, steps)
            layers.append(
                (f"act{k + 1}", SO3Activation(degree, following, grid, find_activation(activation)))
            )
            previous = width
        if batch_norm:
            layers.append(("norm", SO3BatchNorm(previous)))
        layers.append(("flatten", nn.Flatten()))
        self.features = nn.Sequential(OrderedDict(layers))
        self.readout = nn.Linear(previous, n_classes)
        nn.init.normal_(self.readout.weight, std=previous**-0.5)
        nn.init.zeros_(self.readout.bias)

    def forward(self, images: Float[Tensor, "n channels lat lon"]) -> Float[Tensor, "n classes"]:
        """Logits of each signal."""
        return self.readout(self.features(self.grid.from_grid(check_images(images, self.shape))))


def _rotations(lmax: int, oversampling: float, steps: int) -> tuple[int, int, int]:
    """Numbers of angles (α, β, γ) of a grid of rotations; that of α is a multiple of `steps`."""
    band = math.ceil(oversampling * lmax)
    return steps * math.ceil((2 * band + 1) / steps), band + 1, 2 * band + 1
