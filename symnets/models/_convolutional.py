"""Convolutional: small convolutional nets, one or many of the same shape at once."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.models._activation import find_activation
from symnets.models._members import (
    check_inputs,
    initial_parameters,
    selected,
    stacked,
    with_member_axis,
    with_parameters,
)
from symnets.models._parametrization import Parametrization, initial_deviation, layer_scales


class Convolutional(nn.Module):
    """Convolutions, average over positions, linear readout; or S independent such nets in one call.

        z_1 = s_1 W_1 * x,   z_l = s_l W_l * φ(z_(l-1)),   f = s_(L+1) W_(L+1) ⟨φ(z_L)⟩,   (+ biases)

    with the conventions of `Dense`: L = `depth` hidden layers of `width` channels, φ normalised, and
    scales set by the parametrisation, where the fan-in of a convolution is channels · kernel². ⟨⟩ is
    the average over positions. Borders are padded by kernel // 2 zeros, so that with stride 1 and an
    odd kernel an image keeps its size; a stride of s divides it by s, rounded up.

    Args:
        shape: (channels, rows, columns) of an image.
        width: number of channels of each hidden layer.
        depth: number of convolutions.
        kernel: number of rows and of columns of a filter.
        stride: stride of all convolutions, or one for each.
        activation: a name, as for `Dense`.
        parametrization: "ntk", "standard" or "mean_field".
        bias: whether layers have biases, zero at first.
        d_out: number of components of an output; None for a scalar f, without an axis for it.
        members: number of nets; None for a single one, without an axis for it.
        generator: generator of the initial weights, member after member; the net is on its device.
        dtype: dtype of the parameters, which are always sampled in float64.

    Note:
        In float32, cuDNN rounds the factors of products to TF32 (11 of 24 bits), unless
        `torch.backends.cudnn.allow_tf32` is False.

    Example:
        >>> Convolutional((1, 28, 28), 8, 3, stride=2, members=5)(torch.randn(100, 1, 28, 28)).shape
        torch.Size([5, 100])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        width: int,
        depth: int,
        *,
        kernel: int = 3,
        stride: int | Sequence[int] = 2,
        activation: str = "relu",
        parametrization: Parametrization = "ntk",
        bias: bool = False,
        d_out: int | None = None,
        members: int | None = None,
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        strides = (stride,) * depth if isinstance(stride, int) else tuple(stride)
        _check_sizes(shape, strides, width=width, depth=depth, kernel=kernel, d_out=d_out, members=members)
        self.shape, self.width, self.depth, self.kernel = tuple(shape), width, depth, kernel
        self.strides, self.d_out, self.members = strides, d_out, members
        self.activation, self.parametrization = find_activation(activation), parametrization
        channels = [shape[0]] + [width] * (depth - 1)
        shapes = [*[(width, c, kernel, kernel) for c in channels], (d_out or 1, width)]
        fan_in = [*[c * kernel**2 for c in channels], width]
        self.scales = layer_scales(parametrization, fan_in)
        deviations = [initial_deviation(parametrization, n) for n in fan_in]
        device = None if generator is None else generator.device

        def sample() -> list[Tensor]:
            return [
                s * torch.randn(size, generator=generator, dtype=torch.float64, device=device)
                for s, size in zip(deviations, shapes, strict=True)
            ]

        self.weights, self.biases = initial_parameters(sample, members, bias=bias, dtype=dtype)

    def forward(self, x: Float[Tensor, "*members n c r q"]) -> Float[Tensor, "..."]:
        """Outputs f(x), (n,) or (S, n), with a last axis d_out unless it is None.

        Args:
            x: (n, channels, rows, columns), shared by all members, or (S, n, ...), different for each member.
        """
        self._check(x)
        weights, biases = with_member_axis(self)
        groups = len(weights[0])
        # Members are groups of channels; images shared by all members are there only once.
        a = x if x.ndim == 4 else x.transpose(0, 1).flatten(1, 2)
        for layer, (s, w) in enumerate(zip(self.scales[:-1], weights[:-1], strict=True)):
            shared = layer == 0 and x.ndim == 4
            bias = biases[layer].flatten() if biases else None
            kernels, padding = (s * w).flatten(0, 1), self.kernel // 2
            z = F.conv2d(a, kernels, bias, self.strides[layer], padding, groups=1 if shared else groups)
            a = self.activation(z)
        features = a.mean((2, 3)).unflatten(1, (groups, self.width)).transpose(0, 1)  # (S, n, width)
        f = self.scales[-1] * features @ weights[-1].mT
        if biases:
            f = f + biases[-1][:, None]
        f = f[..., 0] if self.d_out is None else f
        return f[0] if self.members is None else f

    @property
    def input_axes(self) -> int:
        """Number of axes of inputs shared by all members; inputs of each member have one more."""
        return 4

    @property
    def n_hidden_units(self) -> int:
        """Number of hidden channels of one member, each of which ReLU allows to rescale."""
        return self.width * self.depth

    def member(self, index: int) -> "Convolutional":
        """Copy of one member as a single net."""
        return with_parameters(self, [p[index] for p in self.parameters()], None)

    def select(self, indices: Sequence[int] | Tensor) -> "Convolutional":
        """Copy of the net with the members at these indices."""
        return selected(self, indices)

    @classmethod
    def stack(cls, models: Sequence["Convolutional"]) -> "Convolutional":
        """Stack single nets of one class and equal shape into one net with members."""
        return stacked(models)

    def extra_repr(self) -> str:
        """Arguments of the constructor, as printed with the module."""
        arguments = {
            "shape": self.shape,
            "width": self.width,
            "depth": self.depth,
            "kernel": self.kernel,
            "stride": self.strides,
            "activation": self.activation.name,
            "parametrization": self.parametrization,
            "bias": bool(len(self.biases)),
            "d_out": self.d_out,
            "members": self.members,
        }
        return ", ".join(f"{k}={v!r}" for k, v in arguments.items())

    def _check(self, x: Tensor) -> None:
        check_inputs(self, x, self.shape)


def _check_sizes(shape: tuple[int, int, int], strides: tuple[int, ...], **sizes: int | None) -> None:
    if len(shape) != 3:
        raise ValueError(f"shape: expected (channels, rows, columns), got {tuple(shape)}")
    if len(strides) != sizes["depth"]:
        raise ValueError(
            f"stride: expected one number or one for each of {sizes['depth']} layers, got {strides}"
        )
    named = dict(zip(("channels", "rows", "columns"), shape, strict=True)) | sizes
    for name, size in [*named.items(), *[("stride", s) for s in strides]]:
        if size is not None and size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
