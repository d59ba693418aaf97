"""The Hessian of a loss and its two parts as linear operators, for nets whose matrix is too large."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.func import functional_call

from symnets.data import Batch
from symnets.loss import Loss, mean_loss
from symnets.observables import as_found
from symnets.observables.curvature._batches import Batches, list_batches, n_examples


@dataclass(frozen=True)
class KeptGraph:
    """Outputs of a module as a function of its parameters, to be differentiated again and again.

    Attributes:
        parameters: copies of those that require a gradient, leaves of the graph.
        outputs: f, as the module returns it; of shape (n,) if it was (n, 1) and the targets are (n,).
        loss: per example or a mean.
        targets: of the examples.
    """

    parameters: list[Tensor]
    outputs: Any
    loss: Loss
    targets: Any

    def mean_loss(self) -> Float[Tensor, ""]:
        """L, the mean over the examples."""
        return mean_loss(self.loss, self.outputs, self.targets)

    def outputs_and_slopes(self) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """f; and a leaf equal to f with ∂L/∂f as a function of it.

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
        (slope,) = torch.autograd.grad(mean, leaf, create_graph=True)
        return self.outputs, (leaf, slope)

    def gradient(self, of: Tensor, along: Tensor | None = None) -> list[Tensor]:
        """∂/∂w of a number, or of a tensor contracted with `along`; differentiable again."""
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
        tensors: its buffers and parameters by name.
        leaves: the parameters that require a gradient.
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
            ValueError: no parameter requires a gradient.
        """
        tensors = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
        leaves = []
        for name, p in model.named_parameters():
            tensors[name] = p.detach().clone()
            if p.requires_grad:
                leaves.append(tensors[name].requires_grad_())
        if not leaves:
            raise ValueError("model: expected parameters with requires_grad=True, found none")
        on_gpu = [p for p in model.parameters() if p.is_cuda] if torch.cuda.is_available() else []
        gpus = sorted({p.get_device() for p in on_gpu})
        generators = [torch.get_rng_state(), *(torch.cuda.get_rng_state(gpu) for gpu in gpus)]
        return cls(model, tensors, leaves, gpus, generators)

    def keep_graph(self, loss: Loss, batch: Batch) -> KeptGraph:
        """Evaluate the copy with the same random numbers each time; model and random states are as found."""
        tensors = {k: v if v.requires_grad else v.clone() for k, v in self.tensors.items()}
        with torch.enable_grad(), as_found(self.model):
            torch.set_rng_state(self.generators[0])
            for gpu, state in zip(self.gpus, self.generators[1:], strict=True):
                torch.cuda.set_rng_state(state, gpu)
            outputs = functional_call(self.model, tensors, (batch.inputs,))
        targets = batch.targets
        if (
            isinstance(outputs, Tensor)
            and isinstance(targets, Tensor)
            and outputs.shape == (*targets.shape, 1)
        ):
            outputs = outputs[..., 0]
        return KeptGraph(self.leaves, outputs, loss, targets)


def flatten(parts: Sequence[Tensor]) -> Float[Tensor, " N"]:
    """Tensors of the shapes of parameters, flattened and concatenated."""
    return torch.cat([part.detach().reshape(-1) for part in parts])


Product = Callable[[list[Tensor]], Sequence[Tensor]]
"""Product with a vector, in parts of the shapes of the parameters."""


class CurvatureOperator(LinearOperator):
    """Symmetric matrix over the parameters of a module, given by its products with vectors.

    It is a `scipy.sparse.linalg.LinearOperator`: `A + B`, `2 * A`, `A @ B`, `A @ vectors`, `eigsh` and `cg`
    work. A shift is `A + 0.1 * aslinearoperator(scipy.sparse.identity(N))`. The loss is the mean over the
    examples of all batches, L = (1/P) Σ ℓ(f(x_μ), y_μ). The order of the parameters is that of
    `model.parameters()`; parameters with `requires_grad=False` are left out.

    Vectors are numpy arrays or torch tensors, (N,) or (N, k). A product with a tensor is a tensor on its
    device, in the dtype of the operator; sums and multiples of operators take numpy arrays.

    The operator has its own copy of the weights, so that further training of the model does not change it.
    For one batch the graph of one evaluation is kept, and a product is some backward passes through it.
    Several batches are evaluated again in each product, in the memory of one. Columns are taken one after the
    other: batches of 16 by vmap were twice as fast at 300 weights, and slower from 2,000 on.

    Args:
        model: any module; evaluated in its current mode, buffers and random state left as found.
        loss: per example, or a mean such as `nn.CrossEntropyLoss()`. For several batches a mean is weighted
            with the number of examples of each batch.
        batch: inputs and targets, or an iterable of such pairs, which is read once.

    Raises:
        ValueError: no parameters that require a gradient, no batch, or a loss that is neither per example nor
            a mean.
    """

    def __init__(self, model: nn.Module, loss: Loss, batch: Batches) -> None:
        self._model, self._loss, self._batches = ModelCopy.of(model), loss, list_batches(batch)
        self._leaves = self._model.leaves
        wide = any(p.dtype == torch.float64 for p in self._leaves)
        n = sum(p.numel() for p in self._leaves)
        super().__init__(np.dtype(np.float64 if wide else np.float32), (n, n))
        first = self._evaluate(self._batches[0])
        self._kept = first if len(self._batches) == 1 else None
        self._sizes = [] if self._kept else [n_examples(b) for b in self._batches]

    def _prepare(self, graph: KeptGraph) -> Product:
        """The product with a vector, for the loss of one batch."""
        raise NotImplementedError

    def _evaluate(self, batch: Batch) -> Product:
        with torch.enable_grad():
            return self._prepare(self._model.keep_graph(self._loss, batch))

    def _multiply(self, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """One column, on the device of the model."""
        parts = vector.to(self._leaves[0].device).split([p.numel() for p in self._leaves])
        shaped = [v.to(p).view_as(p) for v, p in zip(parts, self._leaves, strict=True)]
        if self._kept is not None:
            return flatten(self._kept(shaped))
        total = sum(self._sizes)
        products = (
            flatten(self._evaluate(batch)(shaped)) * (size / total)
            for batch, size in zip(self._batches, self._sizes, strict=True)
        )
        first = next(products)
        return sum(products, first)

    def _matvec(self, x: ndarray) -> ndarray:
        if np.iscomplexobj(x):
            raise ValueError("vector: expected real numbers, got complex ones; take real and imaginary part")
        column = torch.from_numpy(np.ascontiguousarray(x).reshape(-1))
        return self._multiply(column).cpu().numpy().astype(self.dtype)

    def _matmat(self, X: ndarray) -> ndarray:
        columns = [self._matvec(column) for column in np.asarray(X).T]
        return np.stack(columns, axis=1) if columns else np.zeros((self.shape[0], 0), self.dtype)

    def _tensor(self, x: Tensor) -> Tensor:
        """Product with a vector (N,) or with columns (N, k)."""
        if x.ndim not in (1, 2) or len(x) != self.shape[0]:
            raise ValueError(
                f"vector: expected shape ({self.shape[0]},) or ({self.shape[0]}, k), got {tuple(x.shape)}"
            )
        if x.is_complex():
            raise ValueError("vector: expected real numbers, got complex ones; take real and imaginary part")
        dtype = torch.float64 if self.dtype == np.float64 else torch.float32
        columns = [self._multiply(column).to(x.device, dtype) for column in x.detach().reshape(len(x), -1).T]
        return torch.stack(columns, 1).view(x.shape) if columns else x.new_zeros(x.shape, dtype=dtype)

    @overload
    def matvec(self, x: Tensor) -> Tensor: ...
    @overload
    def matvec(self, x: Any) -> ndarray: ...
    def matvec(self, x: Any) -> Any:
        """Product with a vector, a numpy array or a tensor."""
        return self._tensor(x) if isinstance(x, Tensor) else super().matvec(x)

    @overload
    def matmat(self, X: Tensor) -> Tensor: ...
    @overload
    def matmat(self, X: Any) -> ndarray: ...
    def matmat(self, X: Any) -> Any:
        """Product with columns, a numpy array or a tensor."""
        return self._tensor(X) if isinstance(X, Tensor) else super().matmat(X)

    def dot(self, x: Any) -> Any:
        """Product with a vector, columns, another operator or a number; `A @ x` and `A * x`."""
        return self._tensor(x) if isinstance(x, Tensor) and x.ndim else super().dot(x)

    def _adjoint(self) -> "CurvatureOperator":
        return self

    def _transpose(self) -> "CurvatureOperator":
        return self


class HessianOperator(CurvatureOperator):
    """Hessian H = ∂²L/∂w∂w: the derivative of the gradient along a vector, by a second backward pass."""

    def _prepare(self, graph: KeptGraph) -> Product:
        gradient = graph.gradient(graph.mean_loss())
        return lambda vector: graph.vjp(gradient, vector)


class GaussNewtonOperator(CurvatureOperator):
    """Gauss-Newton matrix H0 = (1/P) Σ Jᵀ (∂²ℓ/∂f∂f) J of any loss, with J = ∂f/∂w.

    J v is the derivative of Jᵀu along v, which is linear in u: two backward passes and no forward one.
    """

    def _prepare(self, graph: KeptGraph) -> Product:
        outputs, (leaf, slope) = graph.outputs_and_slopes()
        u = torch.zeros_like(outputs, requires_grad=True)
        jtu = graph.gradient(outputs, u)

        def product(vector: list[Tensor]) -> Sequence[Tensor]:
            (jv,) = graph.vjp(jtu, vector, [u])
            (curved,) = graph.vjp([slope], [jv], [leaf])
            return graph.vjp([outputs], [curved])

        return product


class ResidualOperator(CurvatureOperator):
    """Hp = H - H0 = (1/P) Σ (∂ℓ/∂f) · ∇²f: the Hessian of the outputs, weighted with fixed slopes."""

    def _prepare(self, graph: KeptGraph) -> Product:
        outputs, (_, slope) = graph.outputs_and_slopes()
        gradient = graph.gradient((outputs * slope.detach()).sum())
        return lambda vector: graph.vjp(gradient, vector)
