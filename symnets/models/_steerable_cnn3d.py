"""SteerableCNN3D: a net of steerable convolutions on voxels, equivariant under rotations and reflections."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from e3nn import o3
from jaxtyping import Float
from torch import Tensor, nn

from symnets.models._image_net_layers import scaled
from symnets.nn import BatchNorm, Gate, VoxelConvolution
from symnets.ops import from_e3nn, to_e3nn

BLOCKS = ((1, 1), (1, 2), (2, 1), (2, 2))
"""For each block, the number of channels of each irrep relative to the first block, and the stride."""
SCALARS = 32
"""Number of scalar fields whose averages a classifier reads."""


class SteerableCNN3D(nn.Module):
    """Steerable convolutional net on voxels (Weiler et al. 2018, arXiv:1807.02547).

    Four `GatedBlock`s (steerable convolution, batch normalisation, gate) are followed either by

    - a classifier: a fifth block with scalar fields only, their average over voxels, and a linear readout of
      the logits, which are invariant. The second and the fourth block halve the grid, rounded up, after a
      low-pass: 33 -> 17 -> 9, 32 -> 16 -> 8;
    - or, with `irreps_out`, a convolution to a field of these irreps on the voxels of the input, which is
      equivariant: classes of voxels ("4x0e"), a vector for each voxel ("1x1o"). There is no stride then.

    Equivariance is exact under the 48 rotations and reflections of the cube, for grids of any size. For other
    rotations see `VoxelConvolution` and docs/how-to/voxels.md. Fields of the input and the output are in
    e3nn's order, channels of an irrep one after another: "2x1o" has the channels x, y, z of the first vector,
    then those of the second; x, y and z are the directions of depth, rows and columns.

    Args:
        shape: (channels, depth, rows, columns) of the input.
        n_classes: number of logits; unused with `irreps_out`.
        width: factor of all numbers of channels.
        irreps: irreps of the first block, each once, even scalars first; the third and fourth block have
            twice the channels. Pseudoscalars "0o" and pseudovectors "1e" may be added; blocks leave out
            irreps that they cannot compute from their input.
        size: voxels along an edge of the kernels, odd.
        irreps_in: irreps of the input; scalars by default.
        irreps_out: irreps of the output field; None for a classifier.

    Raises:
        ValueError: sizes out of range, or channels that do not fit `irreps_in`.

    Example:
        >>> SteerableCNN3D((1, 17, 17, 17), 8)(torch.randn(5, 1, 17, 17, 17)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int = 10,
        *,
        width: float = 1.0,
        irreps: str = "8x0e+4x1o+2x2e",
        size: int = 5,
        irreps_in: str | None = None,
        irreps_out: str | None = None,
    ) -> None:
        super().__init__()
        self.shape = _checked(shape, n_classes, width)
        self.config = {
            "shape": self.shape,
            "n_classes": n_classes,
            "width": width,
            "irreps": irreps,
            "size": size,
            "irreps_in": irreps_in,
            "irreps_out": irreps_out,
        }
        self.irreps_in = o3.Irreps(f"{self.shape[0]}x0e" if irreps_in is None else irreps_in)
        self.irreps_out = None if irreps_out is None else o3.Irreps(irreps_out)
        if self.irreps_in.dim != self.shape[0]:
            raise ValueError(
                f"irreps_in: {self.irreps_in} has {self.irreps_in.dim} components, but shape "
                f"{self.shape} has {self.shape[0]} channels"
            )
        fields = self.irreps_in
        layers: list[tuple[str, nn.Module]] = []
        for number, (factor, stride) in enumerate(BLOCKS, start=1):
            out = o3.Irreps([(scaled(factor * mul, width), ir) for mul, ir in o3.Irreps(irreps)])
            stride = stride if self.irreps_out is None else 1
            block = GatedBlock(fields, out, size, stride)
            layers.append((f"block{number}", block))
            fields = block.irreps_out
        self.readout: nn.Linear | None = None
        if self.irreps_out is None:
            n_scalars = scaled(SCALARS, width)
            layers.append(("invariants", GatedBlock(fields, f"{n_scalars}x0e", size)))
            self.readout = nn.Linear(n_scalars, n_classes)
            nn.init.normal_(self.readout.weight, std=n_scalars**-0.5)
            nn.init.zeros_(self.readout.bias)
        else:
            layers.append(("field", VoxelConvolution(fields, self.irreps_out, size)))
        self.features = nn.Sequential(OrderedDict(layers))

    def forward(self, voxels: Float[Tensor, "n channels depth rows columns"]) -> Float[Tensor, "n ..."]:
        """Logits (n, n_classes), or the field (n, dim of irreps_out, depth, rows, columns).

        Raises:
            ValueError: voxels of another shape than the net was built for.
        """
        if tuple(voxels.shape[1:]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise ValueError(f"voxels: expected shape (n, {expected}), got {tuple(voxels.shape)}")
        features = self.features(_by_voxel(from_e3nn, voxels, self.irreps_in))
        if self.irreps_out is None:
            assert self.readout is not None
            return self.readout(features.mean((2, 3, 4)))
        return _by_voxel(to_e3nn, features, self.irreps_out)


class GatedBlock(nn.Module):
    """Steerable convolution, batch normalisation of irreps, and gate, of fields on voxels.

    Args:
        irreps_in: irreps of the input.
        irreps_out: irreps of the output, each once, even scalars first. Irreps that kernels of degrees
            up to 2 cannot reach from the input are left out.
        size: voxels along an edge of the kernel.
        stride: distance of output voxels, in voxels of the input.
    """

    def __init__(
        self, irreps_in: o3.Irreps | str, irreps_out: o3.Irreps | str, size: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.gate = Gate(VoxelConvolution.reachable(irreps_in, irreps_out))
        self.norm = BatchNorm(self.gate.irreps_in)
        self.conv = VoxelConvolution(irreps_in, self.gate.irreps_in, size, stride=stride)
        self.irreps_in, self.irreps_out = self.conv.irreps_in, self.gate.irreps_out

    def forward(
        self, fields: Float[Tensor, "n dim_in depth rows columns"]
    ) -> Float[Tensor, "n dim_out d r c"]:
        """Fields after the block."""
        return _by_voxel(lambda x: self.gate(self.norm(x)), self.conv(fields))


def _by_voxel(
    function: Callable[..., Tensor], fields: Float[Tensor, "n dim_in d r c"], *arguments: Any
) -> Float[Tensor, "n dim_out d r c"]:
    """Result of a function of rows (points, dim), applied to fields with a row for each voxel."""
    n, dim, *grid = fields.shape
    rows = fields.permute(0, 2, 3, 4, 1).reshape(-1, dim)
    return function(rows, *arguments).view(n, *grid, -1).permute(0, 4, 1, 2, 3)


def _checked(shape: Sequence[int], n_classes: int, width: float) -> tuple[int, ...]:
    """Shape (channels, depth, rows, columns) as integers, after checks of the sizes."""
    sizes = tuple(int(size) for size in shape)
    if len(sizes) != 4 or min(sizes) < 1:
        raise ValueError(f"shape: expected (channels, depth, rows, columns), got {sizes}")
    if n_classes < 1:
        raise ValueError(f"n_classes: expected at least 1, got {n_classes}")
    if not 0 < width < float("inf"):
        raise ValueError(f"width: expected a positive factor of the numbers of channels, got {width}")
    return sizes
