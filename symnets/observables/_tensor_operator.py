"""Linear operators of scipy that also multiply torch tensors."""

from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor


class TensorOperator(LinearOperator):
    """Matrix given by its products with vectors, which are numpy arrays or torch tensors.

    It is a `scipy.sparse.linalg.LinearOperator`: `A + B`, `2 * A`, `A @ B`, `A @ vectors`, `eigsh` and `cg`
    work. Vectors have shape (n,) or (n, k). A product with a tensor is a tensor on its device, in the dtype
    of the operator; sums and multiples of operators take numpy arrays.
    """

    def _multiply(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
        """Product with one column, on any device."""
        raise NotImplementedError

    def _matvec(self, x: ndarray) -> ndarray:
        if np.iscomplexobj(x):
            raise ValueError("vector: expected real numbers, got complex ones; take real and imaginary part")
        column = torch.from_numpy(np.ascontiguousarray(x).reshape(-1))
        return self._multiply(column).cpu().numpy().astype(self.dtype)

    def _matmat(self, X: ndarray) -> ndarray:
        columns = [self._matvec(column) for column in np.asarray(X).T]
        return np.stack(columns, axis=1) if columns else np.zeros((self.shape[0], 0), self.dtype)

    def _tensor(self, x: Tensor) -> Tensor:
        """Product with a vector (n,) or with columns (n, k)."""
        n = self.shape[1]
        if x.ndim not in (1, 2) or len(x) != n:
            raise ValueError(f"vector: expected shape ({n},) or ({n}, k), got {tuple(x.shape)}")
        if x.is_complex():
            raise ValueError("vector: expected real numbers, got complex ones; take real and imaginary part")
        dtype = torch.float64 if self.dtype == np.float64 else torch.float32
        columns = [self._multiply(column).to(x.device, dtype) for column in x.detach().reshape(n, -1).T]
        if not columns:
            return x.new_zeros(self.shape[0], *x.shape[1:], dtype=dtype)
        return torch.stack(columns, 1).view(self.shape[0], *x.shape[1:])

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
