"""Linearized: the first-order expansion of a model in its weights, around those it starts with."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jvp

from symnets.models._dense import Dense
from symnets.models._from_start import FromStart, LastValue, _checked
from symnets.models._members import with_parameters
from symnets.models._signals import signals
from symnets.nn import modification


class Linearized(FromStart):
    """First-order expansion f(w0, x) + ∇_w f(w0, x) · (w - w0) of a model in its weights w.

    This is the limit of lazy training: a wide net, or one scaled by a large α (`Scaled`), trains like this
    model, whose tangent kernel never changes. Sources: Jacot, Gabriel, Hongler 2018 (arXiv:1806.07572); Lee
    et al. 2019 (arXiv:1902.06720).

    Its parameters are w; w0 is kept in buffers. For the mean squared error, gradient flow has a closed form
    with the matrix exponential of the kernel at w0, and gradient descent one with matrix powers.

    The derivative is a Jacobian-vector product in forward mode (`torch.func.jvp`). For a `Dense` of scalar
    output it is computed in closed form from the activations a and signals D of `signals` at w0: with the
    changes δW_l of weights and δb_l of biases,

        ∇_w f · (w - w0) = Σ_l s_l D_l · (δW_l a_(l-1)) + D_l · δb_l,

    where a and D are kept while the inputs are the same tensor. The model is always in eval mode, with the
    buffers it has at the start: batch normalisation uses the running averages, so that f is a fixed function.

    Args:
        model: any module that returns one tensor, with members or without; energy models as well,
            `ForceField(Linearized(energy_model))`.
        start: a module of the same structure with weights w0; by default `model` in its present state.

    Raises:
        ValueError: `start` has another structure than `model`.

    Example:
        >>> from symnets.models import Dense
        >>> net = Dense(10, 20, 3)
        >>> x = torch.randn(5, 10)
        >>> bool((Linearized(net)(x) == net(x)).all())
        True
    """

    def __init__(self, model: nn.Module, start: nn.Module | None = None) -> None:
        super().__init__(model, start)
        self.model.eval()
        self.config = {"model": model}  # the model file has w0 among the weights
        self._signals = LastValue()

    def train(self, mode: bool = True) -> "Linearized":
        """Set the mode of this module; the model stays in eval mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, *inputs: Any) -> Float[Tensor, "..."]:
        """f(w0, x) + ∇_w f(w0, x) · (w - w0), of the shape of the model's outputs."""
        if self._closed_form(inputs):
            return self._dense(inputs[0])
        tensors = self._start_tensors()
        buffers = {name: tensors[name].clone() for name, _ in self.model.named_buffers()}
        primals = {name: tensors[name] for name, _ in self.model.named_parameters()}
        tangents = {name: w - primals[name] for name, w in self.model.named_parameters()}

        def f(weights: dict[str, Tensor]) -> Tensor:
            return _checked(functional_call(self.model, weights | buffers, inputs), self.model)

        expansion: Any = jvp(f, (primals,), (tangents,))
        return expansion[0] + expansion[1]

    def _dense(self, x: Tensor) -> Float[Tensor, "*members n"]:
        """The expansion of a dense net of scalar output in closed form, linear in w - w0."""
        tensors = self._start_tensors()
        net: Any = self.model
        first = with_parameters(net, [tensors[name] for name, _ in net.named_parameters()], net.members)
        at_start = self._signals.get((x,), list(tensors.values()), lambda: signals(first, x))
        f = at_start.output
        changes = [
            (w - w0).reshape(len(f), *w0.shape[net.members is not None :])
            for w, w0 in zip(net.parameters(), first.parameters(), strict=True)
        ]
        n_layers = len(net.weights)
        layers = zip(at_start.scales, at_start.signals, at_start.activations, changes[:n_layers], strict=True)
        for s, signal, activation, change in layers:
            f = f + s * (signal * torch.matmul(change, activation)).sum(1)
        for signal, change in zip(at_start.signals, changes[n_layers:], strict=False):
            f = f + (signal * change[..., None]).sum(1)
        return f if net.members is not None else f[0]

    def _closed_form(self, inputs: tuple[Any, ...]) -> bool:
        """Whether the closed form applies: a dense net of scalar output, and inputs that need no gradient."""
        if modification(self.model, Dense) is not None or self.model.d_out is not None:
            return False
        return len(inputs) == 1 and isinstance(inputs[0], Tensor) and not inputs[0].requires_grad

    def _copy(self, model: nn.Module, start: nn.Module, indices: Tensor) -> "Linearized":
        return Linearized(model, start)
