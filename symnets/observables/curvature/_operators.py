"""The Hessian of a loss and its two parts as linear operators, for nets whose matrix is too large."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Batch
from symnets.loss import Loss
from symnets.observables._tensor_operator import TensorOperator
from symnets.observables.curvature._batches import Batches, check_other_dependence, list_batches, n_examples
from symnets.observables.curvature._model_copy import (
    KeptGraph,
    ModelCopy,
    Product,
    check_product,
    flatten,
    second_derivatives,
)


class CurvatureOperator(TensorOperator):
    """Symmetric matrix over the parameters of a module, given by its products with vectors.

    It is a `scipy.sparse.linalg.LinearOperator`: `A + B`, `2 * A`, `A @ B`, `A @ vectors`, `eigsh` and `cg`
    work. A shift is `A + 0.1 * aslinearoperator(scipy.sparse.identity(N))`. The loss is the mean over the
    examples of all batches, L = (1/P) Σ ℓ(f(x_μ), y_μ). The order of the parameters is that of
    `model.parameters()`; parameters with `requires_grad=False` are left out.

    Vectors are numpy arrays or torch tensors, (N,) or (N, k). A product with a tensor is a tensor on its
    device, in the dtype of the operator; sums and multiples of operators take numpy arrays.

    The operator has its own copy of the weights, so that further training of the model does not change it.
    For one batch the graph of one evaluation is kept, and a product takes a few backward passes through it.
    Several batches are evaluated again in each product, one after the other, with the memory of one. The
    columns of a matrix of vectors are also taken one after the other: 16 at a time by vmap were twice as fast
    for 300 weights, and slower from 2,000 weights on.

    Args:
        model: any module; evaluated in its current mode, buffers and random state left as found.
        loss: per example, or a mean such as `nn.CrossEntropyLoss()`. For several batches a mean is weighted
            with the number of examples of each batch.
        batch: inputs and targets, or an iterable of such pairs, which is read once.

    Raises:
        ValueError: members, no parameters that require a gradient, no batch, a loss that is neither per
            example nor a mean or that depends on the parameters directly, or an operation without second
            derivative.
    """

    @torch.inference_mode(False)  # derivatives are needed there too
    def __init__(self, model: nn.Module, loss: Loss, batch: Batches) -> None:
        if getattr(model, "members", None) is not None:
            raise ValueError("model: expected a single net, got members; take model.member(s)")
        self._model, self._loss, self._batches = ModelCopy.of(model), loss, list_batches(batch)
        self._leaves = self._model.leaves
        wide = any(p.dtype == torch.float64 for p in self._leaves)
        n = sum(p.numel() for p in self._leaves)
        super().__init__(np.dtype(np.float64 if wide else np.float32), (n, n))
        with second_derivatives(), torch.enable_grad():
            graph = self._model.keep_graph(loss, self._batches[0])
            value = graph.mean_loss()
            if not value.requires_grad:
                raise ValueError("model: its outputs do not depend on its parameters by operations of torch")
            # Copies were evaluated, so that only the loss can depend on the model's own parameters.
            check_other_dependence(value, [p for p in model.parameters() if p.requires_grad])
            first = self._prepare(graph)
            self._check(first)
        self._kept = first if len(self._batches) == 1 else None
        self._sizes = [] if self._kept else [n_examples(b) for b in self._batches]

    def _prepare(self, graph: KeptGraph) -> Product:
        """The product with a vector, for the loss of one batch."""
        raise NotImplementedError

    def _check(self, product: Product) -> None:
        """Compare the product for the first batch with a reference, in operators that have one."""

    def _evaluate(self, batch: Batch) -> Product:
        with torch.enable_grad():
            return self._prepare(self._model.keep_graph(self._loss, batch))

    @torch.inference_mode(False)
    def _multiply(self, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Product with one vector, on the device of the model."""
        with second_derivatives():
            return self._product(vector)

    def _product(self, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
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

    def _adjoint(self) -> "CurvatureOperator":
        return self

    def _transpose(self) -> "CurvatureOperator":
        return self


class HessianOperator(CurvatureOperator):
    """Hessian H = ∂²L/∂w∂w: the derivative of the gradient along a vector, by a second backward pass.

    Some operations have a gradient but no second derivative, or a wrong one (`weight_norm` of torch 2.13,
    functions with a backward pass in numpy). Therefore the product with one random vector is compared with
    the difference quotient of the gradient in float64, and with its transpose in float32.

    Warns:
        RuntimeWarning: the two differ by more than a percent.
    """

    def _check(self, product: Product) -> None:
        check_product(self._model, self._loss, self._batches[0], product)

    def _prepare(self, graph: KeptGraph) -> Product:
        gradient = graph.gradient(graph.mean_loss())
        return lambda vector: graph.vjp(gradient, vector)


class GaussNewtonOperator(CurvatureOperator):
    """Gauss-Newton matrix H0 = (1/P) Σ Jᵀ (∂²ℓ/∂f∂f) J of any loss, with J = ∂f/∂w.

    J v is computed as the derivative with respect to u of (Jᵀu) · v, which is linear in u: by two backward
    passes, without forward-mode derivatives.
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
