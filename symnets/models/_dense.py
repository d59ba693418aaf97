"""Dense: fully connected nets, one or many of the same shape at once.

Forward and backward pass are written out, with features as the first axis and one call for all members.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.autograd.function import FunctionCtx

from symnets.models._activation import Activation, find_activation
from symnets.models._parametrization import Parametrization, initial_deviation, layer_scales


def dense_pass(model: "Dense", x: Tensor) -> Float[Tensor, "members d_out n"]:
    """f of all members, (S, d_out, n); differentiable to any order, and inside torch.func transforms."""
    weights, biases, factors = _arguments(model)
    differentiable = x.requires_grad or any(p.requires_grad for p in (*weights, *biases))
    inside_transform = torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore
    if inside_transform or not (differentiable and torch.is_grad_enabled()):
        return _plain(model.activation, factors, x, weights, biases)[0]
    return _Pass.apply(model.activation, factors, x, len(weights), *weights, *biases)  # pyright: ignore


def _plain(
    activation: Activation,
    factors: list[float],
    x: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    *,
    in_place: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Output (S, d_out, n); pre-activations; activations (without norm) from the input on, each (S, h, n).

    In place, activations of ReLU overwrite their pre-activations.
    """
    members, columns = weights[0].shape[0], x.shape[-2]
    before: list[Tensor] = []
    after = [x.transpose(-1, -2).contiguous()]  # features first: products with it are twice as fast
    for layer, (factor, w) in enumerate(zip(factors, weights, strict=True)):
        if layer == 0 and x.ndim == 2:  # one product for all members
            z = ((factor * w).reshape(-1, w.shape[2]) @ after[0]).reshape(members, w.shape[1], columns)
        else:
            z = torch.bmm(factor * w, after[-1])
        if biases:
            z = z + biases[layer][:, :, None]
        if layer == len(weights) - 1:
            return z, before, after
        before.append(z)
        after.append(z.relu_() if in_place and activation.name == "relu" else activation.value(z))
    raise AssertionError("a net has layers")


class _Pass(torch.autograd.Function):
    """The gradient in closed form: D_l = s W^T D_(l+1) ∘ φ'(z_l), and ∂/∂W_l = s D_l φ(z_(l-1))^T."""

    @staticmethod
    def forward(
        ctx: Any, activation: Activation, factors: list[float], x: Tensor, layers: int, *parameters: Tensor
    ) -> Tensor:
        weights, biases = list(parameters[:layers]), list(parameters[layers:])
        out, before, after = _plain(activation, factors, x, weights, biases, in_place=True)
        ctx.activation, ctx.factors, ctx.layers = activation, factors, layers
        saved = [] if activation.name == "relu" else before  # the output of ReLU determines its slope
        ctx.save_for_backward(x, *parameters, *after, *saved)
        return out

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> Any:
        (signal,) = grads
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # pyright: ignore[reportAttributeAccessIssue]
        needs: tuple[bool, ...] = ctx.needs_input_grad  # pyright: ignore[reportAttributeAccessIssue]
        layers, factors, activation = ctx.layers, ctx.factors, ctx.activation  # pyright: ignore
        x, n = saved[0], len(needs) - 4
        parameters, rest = saved[1 : 1 + n], saved[1 + n :]
        if torch.is_grad_enabled():  # this derivative will be differentiated
            return _differentiable(activation, factors, x, parameters, layers, signal, needs)
        after, before = rest[:layers], rest[layers:]
        weights, biases = parameters[:layers], parameters[layers:]
        grad_w, grad_b, signal = _back(activation, factors, weights, len(biases) > 0, after, before, signal)
        grad_x = None
        if needs[2]:
            grad_x = factors[0] * torch.bmm(weights[0].transpose(1, 2), signal).transpose(1, 2)
            grad_x = grad_x.sum(0) if x.ndim == 2 else grad_x
        return None, None, grad_x, None, *grad_w, *grad_b


def _back(
    activation: Activation,
    factors: Sequence[float],
    weights: Sequence[Tensor],
    biased: bool,
    after: Sequence[Tensor],
    before: Sequence[Tensor],
    signal: Tensor,
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Gradients of weights and biases, and the signal D_1.

    Args:
        activation: φ.
        factors: factor of each layer.
        weights: (S, ...) each.
        biased: whether the net has biases.
        after: activations without norm, the input first.
        before: pre-activations; empty for ReLU, whose output determines the slope.
        signal: ∂L/∂f, (S, d_out, n).
    """
    grad_w: list[Tensor] = []
    grad_b: list[Tensor] = []
    for layer in range(len(weights) - 1, -1, -1):
        a, w = after[layer], weights[layer]
        if biased:
            grad_b.append(signal.sum(2))
        if a.ndim == 2:  # the input shared by all members: one product
            flat = signal.reshape(-1, signal.shape[2]) @ a.T
            grad_w.append(flat.reshape(w.shape).mul_(factors[layer]))
        else:
            grad_w.append(torch.bmm(signal, a.transpose(1, 2)).mul_(factors[layer]))
        if layer == 0:
            break
        scaled = (factors[layer] * w).transpose(1, 2)
        back = scaled * signal if w.shape[1] == 1 else torch.bmm(scaled, signal)
        if before:
            signal = back.mul_(activation.slope(before[layer - 1]))
        else:
            signal = torch.ops.aten.threshold_backward(back, a, 0)
    return grad_w[::-1], grad_b[::-1], signal


@torch.no_grad()
def backpropagate(
    model: "Dense", x: Tensor, slope: Callable[[Tensor], Tensor]
) -> Float[Tensor, "members d_out n"]:
    """f of all members, with the gradients of a loss left in `.grad`; no autograd graph is made.

    For small nets the graph and its engine take as long as the products.

    Args:
        model: the net; its frozen parameters get no gradient.
        x: inputs.
        slope: maps f, (S, d_out, n), to ∂L/∂f of the same shape.
    """
    weights, biases, factors = _arguments(model)
    out, before, after = _plain(model.activation, factors, x, weights, biases, in_place=True)
    if model.activation.name == "relu":
        before = []
    grad_w, grad_b, _ = _back(model.activation, factors, weights, bool(biases), after, before, slope(out))
    for parameter, grad in zip(model.parameters(), (*grad_w, *grad_b), strict=True):
        parameter.grad = grad.reshape(parameter.shape) if parameter.requires_grad else None
    return out


def _arguments(model: "Dense") -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Weights and biases with a member axis; the factor of each layer."""
    weights = [w if model.members is not None else w[None] for w in model.weights]
    biases = [b if model.members is not None else b[None] for b in model.biases]
    # The norm of the activation and the scale of the next layer are one factor.
    factors = [s * (model.activation.norm if layer else 1.0) for layer, s in enumerate(model.scales)]
    return weights, biases, factors


def _differentiable(
    activation: Activation,
    factors: list[float],
    x: Tensor,
    parameters: tuple[Tensor, ...],
    layers: int,
    signal: Tensor,
    needs: tuple[bool, ...],
) -> Any:
    """The same gradient as an expression that autograd differentiates."""
    out = _plain(activation, factors, x, list(parameters[:layers]), list(parameters[layers:]))[0]
    arguments = (x, *parameters)
    inputs = [a for a, need in zip(arguments, (needs[2], *needs[4:]), strict=True) if need]
    gradients = iter(torch.autograd.grad(out, inputs, signal, create_graph=True, allow_unused=True))
    grads = [next(gradients) if need else None for need in (needs[2], *needs[4:])]
    return None, None, grads[0], None, *grads[1:]


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
            equals S single nets initialised one after the other. The net is on its device; a generator of a
            GPU gives other numbers than one of the CPU.
        dtype: dtype of the parameters, which are always sampled in float64.

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
        sampled = [
            [
                _sample(shape, init, generator) * initial_deviation(parametrization, shape[1])
                for shape in shapes
            ]
            for _ in range(members or 1)
        ]
        layers = (
            sampled[0] if members is None else [torch.stack(layer) for layer in zip(*sampled, strict=True)]
        )
        dtype = dtype or torch.get_default_dtype()
        self.weights = nn.ParameterList([nn.Parameter(layer.to(dtype)) for layer in layers])
        biases = [layer.new_zeros(layer.shape[:-1], dtype=dtype) for layer in layers] if bias else []
        self.biases = nn.ParameterList([nn.Parameter(b) for b in biases])

    def forward(self, x: Float[Tensor, "*members n d_in"]) -> Float[Tensor, "..."]:
        """f(x): (n,) or (S, n), with a last axis d_out unless it is None.

        Args:
            x: (n, d_in), shared by all members, or (S, n, d_in), different for each member.
        """
        self._check(x)
        return self._outward(dense_pass(self, x))

    def backpropagate(
        self, x: Float[Tensor, "*members n d_in"], slope: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "..."]:
        """f(x), as `forward`, with the gradients of a loss left in the parameters' `.grad`.

        Without an autograd graph: for small nets it takes as long as the products themselves.

        Args:
            x: as in `forward`.
            slope: maps f(x) to ∂L/∂f, of the same shape.
        """
        self._check(x)

        def inward(f: Tensor) -> Tensor:
            gradient = slope(self._outward(f))
            gradient = gradient if self.members is not None else gradient[None]
            return gradient[:, None] if self.d_out is None else gradient.transpose(1, 2)

        return self._outward(backpropagate(self, x, inward))

    def _outward(self, f: Float[Tensor, "members outputs n"]) -> Tensor:
        """Output with the axes of `forward`."""
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
        """One of the members as a net of its own."""
        return self._with([p[index] for p in self.parameters()], None)

    def select(self, indices: Sequence[int] | Tensor) -> "Dense":
        """Some of the members, as a copy."""
        chosen = torch.as_tensor(indices, device=self.weights[0].device)
        return self._with([p[chosen] for p in self.parameters()], len(chosen))

    @classmethod
    def stack(cls, models: Sequence["Dense"]) -> "Dense":
        """Single nets of equal shape as the members of one."""
        if not models:
            raise ValueError("models: expected at least one, got none")
        first = models[0]
        for model in models:
            if model.members is not None or model._arguments() != first._arguments():
                raise ValueError(
                    f"models: expected single nets of one shape, got {first._arguments()} "
                    f"and {model._arguments()} with members={model.members}"
                )
        columns = zip(*[model.parameters() for model in models], strict=True)
        return first._with([torch.stack(column) for column in columns], len(models))

    def extra_repr(self) -> str:
        """The arguments."""
        text = ", ".join(f"{k}={v!r}" for k, v in self._arguments().items())
        return f"{text}, members={self.members}"

    def _arguments(self) -> dict:
        return {
            "d_in": self.d_in,
            "width": self.width,
            "depth": self.depth,
            "d_out": self.d_out,
            "activation": self.activation.name,
            "parametrization": self.parametrization,
            "bias": bool(len(self.biases)),
        }

    def _with(self, parameters: Sequence[Tensor], members: int | None) -> "Dense":
        """A net of this shape with copies of other parameters, frozen where these are frozen."""
        twin = Dense.__new__(Dense)
        nn.Module.__init__(twin)
        for name in ("d_in", "width", "depth", "d_out", "activation", "parametrization", "scales"):
            setattr(twin, name, getattr(self, name))
        twin.members = members
        pairs = zip(parameters, self.parameters(), strict=True)
        copies = [nn.Parameter(p.detach().clone(), requires_grad=mine.requires_grad) for p, mine in pairs]
        n = len(self.weights)
        twin.weights, twin.biases = nn.ParameterList(copies[:n]), nn.ParameterList(copies[n:])
        return twin.train(self.training)

    def _check(self, x: Tensor) -> None:
        expected = f"(n, {self.d_in})" + (
            "" if self.members is None else f" or ({self.members}, n, {self.d_in})"
        )
        shapes_fit = x.ndim == 2 or (x.ndim == 3 and self.members is not None and x.shape[0] == self.members)
        if not shapes_fit or x.shape[-1] != self.d_in:
            raise ValueError(f"x: expected shape {expected}, got {tuple(x.shape)}; flatten images first")


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
