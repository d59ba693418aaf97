"""Loss of a module as a function of copies of its parameters, with a graph for second derivatives."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.data import Batch
from symnets.loss import Loss, mean_loss
from symnets.observables import as_found, copy_inputs
from symnets.observables.curvature._batches import check_other_dependence


@dataclass(frozen=True)
class KeptGraph:
    """Outputs of a module as a function of its parameters, with the graph kept for repeated derivatives.

    Attributes:
        parameters: copies of the parameters that require a gradient, leaves of the graph.
        outputs: f, as the module returns it; of shape (n,) if it was (n, 1) and the targets are (n,).
        loss: per example or a mean.
        targets: targets of the examples.
    """

    parameters: list[Tensor]
    outputs: Any
    loss: Loss
    targets: Any

    def mean_loss(self) -> Float[Tensor, ""]:
        """L, the mean over the examples."""
        return mean_loss(self.loss, self.outputs, self.targets)

    def outputs_and_slopes(self) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs f of the module, a leaf tensor equal to f, and ∂L/∂f as a function of that leaf.

        Raises:
            ValueError: the outputs are not one tensor.
        """
        if not isinstance(self.outputs, Tensor):
            raise ValueError(
                f"model: expected outputs in one tensor, got {type(self.outputs).__name__}; use "
                "HessianOperator, which takes any outputs"
            )
        leaf = self.outputs.detach().requires_grad_()
        mean = mean_loss(self.loss, leaf, self.targets)
        check_other_dependence(mean, self.parameters)
        (slope,) = torch.autograd.grad(mean, leaf, create_graph=True)
        return self.outputs, (leaf, slope)

    def gradient(self, of: Tensor, along: Tensor | None = None) -> list[Tensor]:
        """Gradient ∂/∂w of a number, or of a tensor contracted with `along`; differentiable again."""
        return list(
            torch.autograd.grad(
                of, self.parameters, along, create_graph=True, allow_unused=True, materialize_grads=True
            )
        )

    def vjp(
        self, of: Sequence[Tensor], along: Sequence[Tensor], to: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Vector-Jacobian product Σ_k along_k ∂of_k/∂to, `to` the parameters by default; keeps the graph."""
        to = self.parameters if to is None else to
        varying = [(f, v) for f, v in zip(of, along, strict=True) if f.requires_grad]
        if not varying:  # a constant
            return [torch.zeros_like(t) for t in to]
        fs, vs = zip(*varying, strict=True)
        return list(
            torch.autograd.grad(fs, to, vs, retain_graph=True, allow_unused=True, materialize_grads=True)
        )


@dataclass(frozen=True)
class ModelCopy:
    """Module with copies of its parameters and buffers and the state of torch's generators.

    Attributes:
        model: the module.
        tensors: copies of its buffers and parameters by name.
        leaves: copies of the parameters that require a gradient.
        gpus: devices whose generators the module may use.
        generators: states of the CPU's generator and of those of the GPUs.
    """

    model: nn.Module
    tensors: dict[str, Tensor]
    leaves: list[Tensor]
    gpus: list[int]
    generators: list[Tensor]

    @classmethod
    def of(cls, model: nn.Module) -> "ModelCopy":
        """Copy of a module as it is now.

        Raises:
            ValueError: no parameter requires a gradient, or one is neither float32 nor float64.
        """
        tensors = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
        leaves = []
        for name, p in model.named_parameters():
            tensors[name] = p.detach().clone()
            if p.requires_grad:
                leaves.append(tensors[name].requires_grad_())
        check_parameters(leaves)
        on_gpu = [p for p in model.parameters() if p.is_cuda] if torch.cuda.is_available() else []
        gpus = sorted({p.get_device() for p in on_gpu})
        generators = [torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in gpus)]
        return cls(model, tensors, leaves, gpus, generators)

    def keep_graph(self, loss: Loss, batch: Batch) -> KeptGraph:
        """Evaluate the copy, with the same random numbers each time; the model is left as found."""
        tensors = {k: v if v.requires_grad else v.clone() for k, v in self.tensors.items()}
        with torch.enable_grad(), as_found(self.model):
            self._set_generators()
            outputs = functional_call(self.model, tensors, (copy_inputs(batch.inputs),))
        return _kept(self.leaves, outputs, loss, batch)

    def difference_quotient(
        self, loss: Loss, batch: Batch, direction: Sequence[Tensor], step: float
    ) -> Float[Tensor, " N"]:
        """(∇L(w + step · v) - ∇L(w - step · v)) / (2 step), from gradients of the model itself."""
        gradients = []
        for sign in (1, -1):
            with torch.enable_grad(), as_found(self.model):
                self._set_generators()
                trained: list[Tensor] = [p for p in self.model.parameters() if p.requires_grad]
                for p, v in zip(trained, direction, strict=True):
                    p.data.add_(v, alpha=sign * step)
                graph = _kept(trained, self.model(copy_inputs(batch.inputs)), loss, batch)
                value = graph.mean_loss()
                gradients.append(flatten(graph.vjp([value], [torch.ones_like(value)])))
        return (gradients[0] - gradients[1]) / (2 * step)

    def _set_generators(self) -> None:
        torch.set_rng_state(self.generators[0])
        for gpu, state in zip(self.gpus, self.generators[1:], strict=True):
            torch.cuda.set_rng_state(state, gpu)


def _kept(parameters: list[Tensor], outputs: Any, loss: Loss, batch: Batch) -> KeptGraph:
    targets = batch.targets
    both = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if both and outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    return KeptGraph(parameters, outputs, loss, targets)


def check_parameters(trained: Sequence[Tensor]) -> None:
    """Check that there are trainable parameters, in float32 or float64.

    Raises:
        ValueError: there are none, or their dtype has too few digits for second derivatives, or autocast
            rounds them to such a dtype.
    """
    if not trained:
        raise ValueError("model: expected parameters with requires_grad=True, found none")
    for p in trained:
        if torch.is_autocast_enabled(p.device.type):
            raise ValueError(
                "autocast: expected none, since its few digits are not enough for second derivatives; "
                f'evaluate inside torch.autocast("{p.device.type}", enabled=False)'
            )
        if p.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"model: expected parameters in float32 or float64, got {p.dtype}, too coarse for second "
                "derivatives; use model.float(), and inputs of the same dtype"
            )


_HINTS = {
    "attention": "evaluate it inside torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
    "cudnn": "evaluate it inside torch.backends.cudnn.flags(enabled=False)",
    "aot_autograd": "give the module before torch.compile",
}
"""Remedy where torch has no second derivative, by a word of torch's message."""


@contextmanager
def second_derivatives() -> Iterator[None]:
    """Context in which torch's errors on missing second derivatives and on memory are explained.

    Raises:
        ValueError: an operation of the model has no second derivative.
        MemoryError: the graph does not fit into memory.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "allocate" in text and "memory" in text.lower():
            raise MemoryError(
                f"the graph of the second derivatives does not fit into memory ({text.splitlines()[0]}); "
                "pass smaller batches, as an iterable: one is evaluated at a time"
            ) from error
        if not re.search("is not implemented|double.?backward|differentiate twice", text, re.IGNORECASE):
            raise
        advice = "use operations of torch that have one"
        advice = next((hint for word, hint in _HINTS.items() if word in text.lower()), advice)
        raise ValueError(
            f"model: an operation has no second derivative in torch ({text.splitlines()[0]}); {advice}"
        ) from error


def flatten(parts: Sequence[Tensor]) -> Float[Tensor, " N"]:
    """Tensors of the shapes of parameters, flattened and concatenated."""
    return torch.cat([part.detach().reshape(-1) for part in parts])


Product = Callable[[list[Tensor]], Sequence[Tensor]]
"""Product of a matrix with a vector; both vectors are lists of parts in the shapes of the parameters."""


STEPS = 1e-5, 1e-6
"""Steps of the difference quotients, relative to the root mean square of the weights."""


def check_product(copy: ModelCopy, loss: Loss, batch: Batch, product: Product) -> None:
    """Compare the product of a Hessian and a random vector with what is known without second derivatives.

    In float64 the reference is the difference quotient of the gradient, for two step sizes; if these do not
    agree with each other, as across a kink, nothing is concluded. In float32, where difference quotients are
    too noisy, the products with two vectors must be consistent with a symmetric matrix, uᵀHv = vᵀHu.

    Warns:
        RuntimeWarning: a difference of more than a percent.
    """
    generator = torch.Generator().manual_seed(0)
    scale = float(flatten(copy.leaves).square().mean().sqrt()) or 1.0

    def random() -> list[Tensor]:
        return [(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)).to(p) for p in copy.leaves]

    v = random()
    hv = flatten(product(v))
    if all(p.dtype == torch.float64 for p in copy.leaves):
        far, near = (copy.difference_quotient(loss, batch, v, step) for step in STEPS)
        size = float(torch.maximum(near.norm(), hv.norm()))
        error = float((hv - near).norm())
        wrong = float((far - near).norm()) <= 1e-3 * size and error > 1e-2 * size
        what = "the difference quotient of the gradient"
    else:
        u = random()
        hu, flat_u, flat_v = flatten(product(u)), flatten(u), flatten(v)
        size = float((hv.norm() * flat_u.norm() + hu.norm() * flat_v.norm()) / (2 * len(hv) ** 0.5))
        error = abs(float(flat_u @ hv - flat_v @ hu))
        wrong, what = error > 1e-2 * size, "its transpose"
    if wrong:
        warnings.warn(
            f"HessianOperator: a product differs from {what} by {error / size:.1%}: an operation of the "
            "model has a wrong second derivative (torch's weight_norm, a backward pass in numpy or with "
            "detach); replace it",
            RuntimeWarning,
            stacklevel=5,
        )
