"""Derivatives of a per-example loss in the output: closed form where the loss has it, else autodiff.

One evaluation of a module whose autograd graph is kept.

The Hessian and its parts as linear operators, for nets whose matrix is too large.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.func import functional_call

from symnets.data import Batch

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> (n,), not reduced. Methods `d1` and `d2` of the same arguments are used if
it has them, as all of `symnets.training._losses` do."""


def loss_derivatives(
    loss: Loss, outputs: Float[Tensor, " n"], targets: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """ℓ' and ℓ'' of each pattern, for outputs of one number a pattern.

    Raises:
        ValueError: the loss is reduced.
    """
    d1, d2 = getattr(loss, "d1", None), getattr(loss, "d2", None)
    if d1 is not None and d2 is not None:
        return d1(outputs, targets), d2(outputs, targets)
    with torch.enable_grad():
        f = outputs.detach().requires_grad_()
        values = per_example(loss, f, targets)
        (first,) = torch.autograd.grad(values.sum(), f, create_graph=True)
        second = torch.zeros_like(f)
        if first.requires_grad:  # not so where ℓ' is piecewise constant
            (second,) = torch.autograd.grad(first.sum(), f, allow_unused=True, materialize_grads=True)
    return first.detach(), second


def per_example(loss: Loss, outputs: Any, targets: Any) -> Float[Tensor, " n"]:
    """ℓ of each example.

    Raises:
        ValueError: the loss returns another number of axes.
    """
    values = loss(outputs, targets)
    if values.ndim != 1:
        raise ValueError(
            f"loss: expected one value an example, (n,), got shape {tuple(values.shape)}; use "
            "reduction='none', and take the members of an ensemble one by one"
        )
    return values


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


class CurvatureOperator(LinearOperator):
    """A symmetric matrix over the parameters of a module, known by its products with vectors.

    What scipy does with operators works: `A + B`, `2 * A`, `A @ B`, `A @ vectors`, `eigsh`, `cg`. A
    shift is `A + 0.1 * aslinearoperator(scipy.sparse.identity(N))`. The loss is
    L = (1/P) Σ ℓ(f(x_μ), y_μ), the order of the parameters that of `model.parameters()`, and parameters
    with `requires_grad=False` are left out.

    The graph of one evaluation is kept, with its own copy of the weights: products are backward passes
    through it, and later training of the model does not reach them. Columns are taken one after the
    other: batches of 16 by vmap were twice as fast at 300 weights, and slower from 2,000 on. Vectors are
    numpy arrays; torch's dtype and device are inside, and a product takes one transfer to the device and one
    back.

    Args:
        model: any module; evaluated once in the mode it is in, buffers and random state left as found.
        loss: per example, not reduced.
        batch: inputs and targets.

    Raises:
        ValueError: nothing to differentiate, or a reduced loss.
    """

    def __init__(self, model: nn.Module, loss: Loss, batch: Batch) -> None:
        self._graph = keep_graph(model, loss, batch)
        parameters = self._graph.parameters
        wide = any(p.dtype == torch.float64 for p in parameters)
        n = sum(p.numel() for p in parameters)
        super().__init__(np.dtype(np.float64 if wide else np.float32), (n, n))
        with torch.enable_grad():
            self._prepare(self._graph)

    def _prepare(self, graph: KeptGraph) -> None:
        """What all products share."""
        raise NotImplementedError

    def _product(self, vector: list[Tensor]) -> Sequence[Tensor]:
        """One column."""
        raise NotImplementedError

    def _matvec(self, x: ndarray) -> ndarray:
        if np.iscomplexobj(x):
            raise ValueError("vector: expected real numbers, got complex ones; take real and imaginary part")
        flat = torch.from_numpy(np.ascontiguousarray(x).reshape(-1)).to(self._graph.parameters[0].device)
        parts = flat.split([p.numel() for p in self._graph.parameters])
        vector = [v.to(p).view_as(p) for v, p in zip(parts, self._graph.parameters, strict=True)]
        return flatten(self._product(vector)).cpu().numpy().astype(self.dtype)

    def _matmat(self, X: ndarray) -> ndarray:
        columns = [self._matvec(column) for column in np.asarray(X).T]
        return np.stack(columns, axis=1) if columns else np.zeros((self.shape[0], 0), self.dtype)

    def _adjoint(self) -> "CurvatureOperator":
        return self

    def _transpose(self) -> "CurvatureOperator":
        return self


class HessianOperator(CurvatureOperator):
    """H = ∂²L/∂w∂w: the derivative of the gradient along a vector, by a second backward pass."""

    def _prepare(self, graph: KeptGraph) -> None:
        self._gradient = graph.gradient(graph.losses().mean())

    def _product(self, vector: list[Tensor]) -> Sequence[Tensor]:
        return self._graph.pull(self._gradient, vector)


class GaussNewtonOperator(CurvatureOperator):
    """H0 = (1/P) Σ J^T (∂²ℓ/∂f∂f) J, with J = ∂f/∂w: the Gauss-Newton matrix of any loss.

    J v is the derivative of J^T u along v, linear in u: two backward passes and none forward.
    """

    def _prepare(self, graph: KeptGraph) -> None:
        self._outputs, self._slopes = graph.outputs_and_slopes()
        self._u = torch.zeros_like(self._outputs, requires_grad=True)
        self._jtu = graph.gradient(self._outputs, self._u)

    def _product(self, vector: list[Tensor]) -> Sequence[Tensor]:
        (along,) = self._graph.pull(self._jtu, vector, [self._u])
        (bent,) = self._graph.pull([self._slopes[1]], [along], [self._slopes[0]])
        return self._graph.pull([self._outputs], [bent])


class ResidualOperator(CurvatureOperator):
    """Hp = H - H0 = (1/P) Σ (∂ℓ/∂f) · ∇²f: the Hessian of the outputs, weighted by fixed slopes."""

    def _prepare(self, graph: KeptGraph) -> None:
        outputs, slopes = graph.outputs_and_slopes()
        self._gradient = graph.gradient((outputs * slopes[1].detach()).sum())

    def _product(self, vector: list[Tensor]) -> Sequence[Tensor]:
        return self._graph.pull(self._gradient, vector)
