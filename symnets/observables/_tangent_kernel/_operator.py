"""Products of a tangent kernel with vectors, without the matrix."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._tangent_kernel._dense_terms import Outputs
from symnets.observables._tangent_kernel._gradients import differentiable, scalar_product_outputs
from symnets.observables._tangent_kernel._points import n_points, ranges, take_points
from symnets.observables._tensor_operator import TensorOperator


class TangentKernelOperator(TensorOperator):
    """Tangent kernel Θ = J1 J2ᵀ of two sets of points, given by its products with vectors.

    A product takes one vector-Jacobian product, w = J2ᵀ v over the parameters, and one Jacobian-vector
    product, J1 w, each chunk by chunk of points. Use it for large sets and large nets, for which neither the
    kernel nor the gradients fit into memory. It is a `scipy.sparse.linalg.LinearOperator`: `eigsh` gives the
    largest eigenvalues, and `cg` solves kernel regression. Vectors are numpy arrays or torch tensors, (n2,)
    or (n2, k). For C outputs in the convention "full", rows and columns are pairs of point and output, the
    output running fastest.

    The operator has its own copy of the weights, so that further training of the model does not change it.
    If all points are in one chunk, its graph is kept.

    Args:
        model: a single net with outputs (n,) or (n, C), or a potential, of which the energies are used;
            evaluated in its current mode and left as found.
        x1: points of the rows, as for `tangent_kernel`.
        x2: points of the columns; those of the rows if None.
        outputs: convention for several outputs, as for `tangent_kernel`.
        chunk: number of points that are evaluated together.

    Raises:
        ValueError: members, no parameters that require a gradient, or outputs of another shape.
    """

    @torch.inference_mode(False)
    def __init__(
        self, model: nn.Module, x1: Any, x2: Any = None, *, outputs: Outputs = "full", chunk: int = 1024
    ) -> None:
        if getattr(model, "members", None) is not None:
            raise ValueError("model: expected a single net, got members; take model.member(s)")
        if chunk < 1:
            raise ValueError(f"chunk: expected at least 1, got {chunk}")
        self._model = differentiable(model)
        self._buffers = {name: b.detach().clone() for name, b in self._model.named_buffers()}
        self._parameters = {
            name: p.detach().clone().requires_grad_(p.requires_grad)
            for name, p in self._model.named_parameters()
        }
        self._leaves = [p for p in self._parameters.values() if p.requires_grad]
        if not self._leaves:
            raise ValueError("model: expected parameters with requires_grad=True, found none")
        self._x1, self._x2, self._chunk = x1, x1 if x2 is None else x2, chunk
        self._outputs: Outputs = outputs
        self._kept: dict[int, Float[Tensor, "n outputs"]] = {}
        for x in (self._x1, self._x2):
            if n_points(x) <= chunk and id(x) not in self._kept:
                self._kept[id(x)] = self._evaluate(x)
        few = self._kept.get(id(self._x1))
        few = self._evaluate(take_points(x1, slice(0, 1))) if few is None else few
        if not few.requires_grad:
            raise ValueError("model: its outputs do not depend on its parameters by operations of torch")
        self._columns = few.shape[1]
        size = self._columns if outputs == "full" else 1
        wide = any(p.dtype == torch.float64 for p in self._leaves)
        shape = n_points(self._x1) * size, n_points(self._x2) * size
        super().__init__(np.dtype(np.float64 if wide else np.float32), shape)

    def _evaluate(self, x: Any) -> Float[Tensor, "n outputs"]:
        """Outputs that are differentiated, with their graph."""
        with torch.enable_grad(), as_found(self._model):
            tensors = self._parameters | {name: b.clone() for name, b in self._buffers.items()}
            return scalar_product_outputs(
                functional_call(self._model, tensors, (copy_inputs(x),)), x, self._outputs
            )

    def _chunks(self, x: Any) -> Iterator[tuple[slice, Float[Tensor, "n outputs"]]]:
        if id(x) in self._kept:
            yield slice(0, n_points(x)), self._kept[id(x)]
            return
        for points in ranges(n_points(x), self._chunk):
            yield points, self._evaluate(take_points(x, points))

    @torch.inference_mode(False)
    def _multiply(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
        size = self._columns if self._outputs == "full" else 1
        v = vector.to(self._leaves[0]).reshape(-1, size)
        if self._outputs != "trace":
            return self._product(v).reshape(-1)
        unit = torch.eye(self._columns, dtype=v.dtype, device=v.device)
        products = [self._product(v * e)[:, c] for c, e in enumerate(unit)]
        return torch.stack(products).mean(0)

    def _product(self, v: Float[Tensor, "n2 outputs"]) -> Float[Tensor, "n1 outputs"]:
        w = [torch.zeros_like(p) for p in self._leaves]
        for points, f in self._chunks(self._x2):
            parts = torch.autograd.grad(
                f, self._leaves, v[points].to(f), retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for total, part in zip(w, parts, strict=True):
                total.add_(part)
        rows = []
        for _, f in self._chunks(self._x1):
            with torch.enable_grad():  # J w is the derivative of Jᵀu along w, which is linear in u
                u = torch.zeros_like(f, requires_grad=True)
                jtu = torch.autograd.grad(
                    f, self._leaves, u, create_graph=True, allow_unused=True, materialize_grads=True
                )
            pairs = [(g, t) for g, t in zip(jtu, w, strict=True) if g.requires_grad]
            outs, along = zip(*pairs, strict=True)
            rows.append(torch.autograd.grad(outs, u, along)[0])
        return torch.cat(rows)

    def _adjoint(self) -> "TangentKernelOperator":
        twin = object.__new__(TangentKernelOperator)
        vars(twin).update(vars(self))
        twin._x1, twin._x2, twin.shape = self._x2, self._x1, self.shape[::-1]
        return twin

    def _transpose(self) -> "TangentKernelOperator":
        return self._adjoint()
