"""The Hessian and its parts as linear operators, for nets whose matrix is too large."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from symnets.data.loader import Batch
from symnets.observables.curvature.kept_graph import KeptGraph, flatten, keep_graph
from symnets.observables.curvature.loss_derivatives import Loss


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
