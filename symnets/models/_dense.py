"""Dense: fully connected nets, one or many of the same shape at once."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from symnets.models._activation import find_activation
from symnets.models._dense_pass import backpropagate, dense_pass
from symnets.models._members import check_inputs, initial_parameters, selected, stacked, with_parameters
from symnets.models._parametrization import Parametrization, initial_deviation, layer_scales
from symnets.nn import modification


class Dense(nn.Module):
    """Fully connected net, or S independent ones of the same shape, trained in one call.

        z_1 = s_1 W_1 x,   z_l = s_l W_l φ(z_(l-1)),   f = s_(L+1) W_(L+1) φ(z_L),   (+ biases)

    with L = `depth` hidden layers, φ normalised to E φ(z)² = 1 on N(0, 1), and scales s that the
    parametrisation sets (`layer_scales`). With members, every parameter has a leading axis S.

    Args:
        d_in: number of components of an input.
        width: h, number of units of each hidden layer.
        depth: L, number of hidden layers.
        activation: "relu", "tanh", "swish", "gelu", "erf" or "linear".
        parametrization: "ntk", "standard" or "mean_field".
        bias: whether layers have biases, zero at first.
        d_out: number of components of an output; None for a scalar f, without an axis for it.
        members: number of nets; None for a single one, without an axis for it.
        init: "normal", or "orthogonal": (semi-)orthogonal matrices of the same mean square.
        generator: generator of the initial weights, member after member: a net of S members
            equals S single nets initialised one after the other. The net is on the generator's device; a
            generator on a GPU gives other numbers than one on the CPU.
        dtype: dtype of the parameters, which are always sampled in float64.

    Raises:
        ValueError: a size below 1, an unknown `init`, or inputs of another shape or dtype.

    Example:
        >>> Dense(10, 20, 3, members=5)(torch.randn(100, 10)).shape
        torch.Size([5, 100])
    """

    def __init__(
        self,
        d_in: int,
        width: int,
        depth: int,
        *,
        activation: str = "relu",
        parametrization: Parametrization = "ntk",
        bias: bool = False,
        d_out: int | None = None,
        members: int | None = None,
        init: str = "normal",
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sizes = {"d_in": d_in, "width": width, "depth": depth, "d_out": d_out, "members": members}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name}: expected at least 1, got {size}")
        if init not in ("normal", "orthogonal"):
            raise ValueError(f"init: expected 'normal' or 'orthogonal', got {init!r}")
        self.d_in, self.width, self.depth, self.d_out, self.members = d_in, width, depth, d_out, members
        self.activation, self.parametrization = find_activation(activation), parametrization
        fan_in = [d_in] + [width] * depth
        self.scales = layer_scales(parametrization, fan_in)
        shapes = [*[(width, n) for n in fan_in[:-1]], (d_out or 1, width)]
        deviations = [initial_deviation(parametrization, n) for n in fan_in]
        self.weights, self.biases = initial_parameters(
            lambda: [s * _sample(size, init, generator) for s, size in zip(deviations, shapes, strict=True)],
            members,
            bias=bias,
            dtype=dtype,
        )

    def forward(self, x: Float[Tensor, "*members n d_in"]) -> Float[Tensor, "..."]:
        """Outputs f(x), (n,) or (S, n), with a last axis d_out unless it is None.

        Args:
            x: (n, d_in), shared by all members, or (S, n, d_in), different for each member.
        """
        self._check(x)
        return self._outward(dense_pass(self, x))

    def backpropagate(
        self, x: Float[Tensor, "*members n d_in"], slope: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "..."]:
        """f(x), as `forward`, with the gradients of a loss left in the parameters' `.grad`.

        No autograd graph is built, which for small nets would take as long as the matrix products.

        Args:
            x: as in `forward`.
            slope: maps f(x) to ∂L/∂f, of the same shape.

        Raises:
            ValueError: a subclass, or a net with hooks or other changes, whose gradients may differ.
        """
        if problem := modification(self, Dense):
            raise ValueError(f"backpropagate: expected an unmodified Dense, but {problem}")
        return self._backpropagate(x, slope)

    def _backpropagate(self, x: Tensor, slope: Callable[[Tensor], Tensor]) -> Tensor:
        """`backpropagate` without the check, which takes a few percent of the time for a small net."""
        self._check(x)

        def inward(f: Tensor) -> Tensor:
            gradient = slope(self._outward(f))
            gradient = gradient if self.members is not None else gradient[None]
            return gradient[:, None] if self.d_out is None else gradient.transpose(1, 2)

        return self._outward(backpropagate(self, x, inward))

    def _outward(self, f: Float[Tensor, "members outputs n"]) -> Tensor:
        """Convert the output of `dense_pass` to the axes of `forward`."""
        f = f[:, 0] if self.d_out is None else f.transpose(1, 2)
        return f[0] if self.members is None else f

    @property
    def input_axes(self) -> int:
        """Number of axes of inputs shared by all members; inputs of each member have one more."""
        return 2

    @property
    def n_hidden_units(self) -> int:
        """Number of hidden units of one member, h L."""
        return self.width * self.depth

    def member(self, index: int) -> "Dense":
        """Copy of one member as a single net."""
        return with_parameters(self, [p[index] for p in self.parameters()], None)

    def select(self, indices: Sequence[int] | Tensor) -> "Dense":
        """Copy of the net with the members at these indices."""
        return selected(self, indices)

    @classmethod
    def stack(cls, models: Sequence["Dense"]) -> "Dense":
        """Stack single nets of one class and equal shape into one net with members."""
        return stacked(models)

    def extra_repr(self) -> str:
        """Arguments of the constructor, as printed with the module."""
        arguments = {
            "d_in": self.d_in,
            "width": self.width,
            "depth": self.depth,
            "d_out": self.d_out,
            "activation": self.activation.name,
            "parametrization": self.parametrization,
            "bias": bool(len(self.biases)),
            "members": self.members,
        }
        return ", ".join(f"{k}={v!r}" for k, v in arguments.items())

    def _check(self, x: Tensor) -> None:
        check_inputs(self, x, (self.d_in,), "; flatten images first")


def _sample(shape: tuple[int, int], init: str, generator: Generator | None) -> Tensor:
    """A random matrix with entries of unit mean square."""
    device = None if generator is None else generator.device
    normal = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
    if init == "normal":
        return normal
    rows, columns = shape
    q, r = torch.linalg.qr(normal if rows >= columns else normal.T)
    q = q * r.diagonal().sign()  # uniform over the orthogonal group (Mezzadri 2007, math-ph/0609050)
    return (q if rows >= columns else q.T) * max(rows, columns) ** 0.5
