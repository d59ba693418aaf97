"""One evaluation of a module whose autograd graph is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.data.loader import Batch
from symnets.observables.curvature.loss_derivatives import Loss, per_example


@dataclass(frozen=True)
class KeptGraph:
    """Outputs of a module as a function of its parameters, to be differentiated again and again.

    Attributes:
        parameters: copies of those that require a gradient, leaves of the graph.
        outputs: f, whatever the module returns; of shape (n,) if it was (n, 1) and the targets are (n,).
        loss: per example.
        targets: of the examples.
    """

    parameters: list[Tensor]
    outputs: Any
    loss: Loss
    targets: Any

    def losses(self) -> Float[Tensor, " n"]:
        """ℓ of each example."""
        return per_example(self.loss, self.outputs, self.targets)

    def outputs_and_slopes(self) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """f; and a leaf equal to f with ∂L/∂f as a function of it.

        Raises:
            ValueError: the outputs are not one tensor.
        """
        if not isinstance(self.outputs, Tensor):
            raise ValueError(
                f"model: expected outputs in one tensor, got {type(self.outputs).__name__}; the Hessian as a "
                "whole (HessianOperator) does not need that"
            )
        leaf = self.outputs.detach().requires_grad_()
        mean = per_example(self.loss, leaf, self.targets).mean()
        (slope,) = torch.autograd.grad(mean, leaf, create_graph=True)
        return self.outputs, (leaf, slope)

    def gradient(self, of: Tensor, along: Tensor | None = None) -> list[Tensor]:
        """∂/∂w of a number, or of a tensor contracted with another, to be differentiated again."""
        return list(
            torch.autograd.grad(
                of, self.parameters, along, create_graph=True, allow_unused=True, materialize_grads=True
            )
        )

    def pull(
        self, of: Sequence[Tensor], along: Sequence[Tensor], to: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Σ_k along_k ∂of_k/∂to, `to` being the parameters unless given; the graph stays."""
        to = self.parameters if to is None else to
        bent = [(f, v) for f, v in zip(of, along, strict=True) if f.requires_grad]
        if not bent:  # a constant
            return [torch.zeros_like(t) for t in to]
        fs, vs = zip(*bent, strict=True)
        return list(
            torch.autograd.grad(fs, to, vs, retain_graph=True, allow_unused=True, materialize_grads=True)
        )


def keep_graph(model: nn.Module, loss: Loss, batch: Batch) -> KeptGraph:
    """Evaluates a module on copies of its parameters and buffers, with the random state forked.

    Raises:
        ValueError: no parameter requires a gradient.
    """
    state = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    leaves: dict[str, Tensor] = {}
    for name, p in model.named_parameters():
        state[name] = p.detach().clone()
        if p.requires_grad:
            leaves[name] = state[name].requires_grad_()
    if not leaves:
        raise ValueError("model: expected parameters with requires_grad=True, found none")
    gpus = sorted({p.get_device() for p in model.parameters() if p.is_cuda})
    with torch.enable_grad(), torch.random.fork_rng(devices=gpus):
        outputs = functional_call(model, state, (batch.inputs,))
    targets = batch.targets
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.shape == (*targets.shape, 1):
        outputs = outputs[..., 0]
    return KeptGraph(list(leaves.values()), outputs, loss, targets)


def flatten(parts: Sequence[Tensor]) -> Float[Tensor, " N"]:
    """Tensors of parameter shapes, one after the other."""
    return torch.cat([part.detach().reshape(-1) for part in parts])
