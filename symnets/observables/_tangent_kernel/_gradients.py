"""Gradients of the outputs of any module, point by point, in the layout of a term of a tangent kernel."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.backends import mha
from torch.func import functional_call, grad, vjp, vmap

from symnets.models import ForceField
from symnets.nn import modification
from symnets.observables._as_found import as_found, copy_inputs
from symnets.observables._tangent_kernel._dense_terms import Outputs
from symnets.observables._tangent_kernel._points import graph_energies, n_points, ranges, take_points
from symnets.observables._tangent_kernel._terms import Term, Terms


class Gradients:
    """Gradients of a module's outputs with respect to its trained parameters, on ranges of a set of points.

    They are computed by `torch.func.vmap` where the module allows it and its outputs for single points agree
    with those for several. Otherwise there is one backward pass for each output, through the graph of its
    point alone or, if the outputs of a point depend on other points (batch normalisation in training mode),
    through the graph of all points.

    Args:
        model: the module, in its current mode.
        x: points, a tensor or a batch of graphs.
        outputs: convention for several outputs.
        max_bytes: memory for the gradients of two ranges.

    Attributes:
        block: largest number of points in a range.
        d_out: number of outputs.

    Raises:
        ValueError: outputs of another shape than (n,) or (n, outputs), or that depend on no parameter; or
            outputs of a point depend on other points, and the gradients of all points do not fit into
            `max_bytes`.
    """

    def __init__(self, model: nn.Module, x: Any, outputs: Outputs, max_bytes: int) -> None:
        model = differentiable(model)
        self.model, self.x = model, x
        self.outputs: Outputs = outputs
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.n_params = sum(p.numel() for p in self.trained.values())
        n = n_points(x)
        with _measured(model):
            few = self._call(take_points(x, slice(0, 8)))
        if not few.requires_grad:
            raise ValueError("model: its outputs do not depend on its parameters by operations of torch")
        few = few.detach()
        self.d_out = 1 if few.ndim == 1 else few.shape[1]
        self.copies = 1 if outputs == "sum" else self.d_out
        self.dtype = reduce(torch.promote_types, [p.dtype for p in self.trained.values()])
        self.device = few.device
        bytes_each = self.copies * self.n_params * self.dtype.itemsize
        self.block = n if n * bytes_each <= max_bytes else max(1, max_bytes // (2 * bytes_each))
        if isinstance(x, Tensor) and self._vmap_works(few):
            self._method = self._by_vmap
        elif self._points_are_independent(few):
            self._method = self._by_point
        elif n <= self.block:
            self._method = self._by_graph
        else:
            raise ValueError(
                f"model: the outputs of a point depend on the others (batch normalisation or dropout in "
                f"training mode), and {n} points need blocks of {self.block}; use model.eval(), fewer "
                "points, or a larger max_bytes"
            )

    def __call__(self, points: slice) -> Terms:
        """Gradients of a range of points, as the only term of a tangent kernel."""
        with _measured(self.model):
            rows = self._method(take_points(self.x, points))
        if self.outputs == "trace":  # as if there were one output, with outputs x N parameters
            rows = rows.flatten(1)[:, None]
        return [
            Term(None, rows.permute(1, 2, 0)[None], 0.0, 1 / self.d_out if self.outputs == "trace" else 1.0)
        ]

    def _call(self, x: Any) -> Tensor:
        """Outputs (n,) or (n, outputs)."""
        return _shaped(self.model(copy_inputs(x)), x)

    def _vmap_works(self, expected: Tensor) -> bool:
        """Whether vmap can differentiate the module and gives the outputs of the module itself."""
        try:
            with _measured(self.model):
                few = take_points(self.x, slice(0, min(2, len(expected))))
                found = vmap(lambda x: self._one(self._parameters(), x)[1])(copy_inputs(few))
                self._by_vmap(few)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False
        return equal_to_rounding(
            found.reshape(len(found), -1), expected[: len(found)].reshape(len(found), -1)
        )

    def _points_are_independent(self, expected: Tensor) -> bool:
        last = len(expected) - 1
        if last == 0:
            return True
        try:
            with _measured(self.model), torch.no_grad():
                return equal_to_rounding(
                    self._call(take_points(self.x, slice(last, last + 1)))[0], expected[last]
                )
        except ValueError:  # batch normalisation of a single value
            return False

    def _parameters(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.trained.items()}

    def _one(self, parameters: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """The functions to differentiate, (outputs,), and the outputs themselves, at one point."""
        f = _shaped(functional_call(self.model, parameters, (x[None],)), x[None])
        return _columns(f, self.outputs)[0], f[0]

    def _by_vmap(self, x: Tensor) -> Float[Tensor, "n outputs N"]:
        parameters = self._parameters()

        def rows(x: Tensor) -> dict[str, Tensor]:
            if self.copies == 1:
                return grad(lambda p: self._one(p, x)[0].squeeze(0))(parameters)
            pulled: Any = vjp(lambda p: self._one(p, x)[0], parameters)
            f, pullback = pulled
            return vmap(lambda e: pullback(e)[0])(torch.eye(len(f), dtype=f.dtype, device=f.device))

        out = self._empty(len(x))
        chunk = min(256, max(1, 2**24 // (self.copies * self.n_params)))
        for few in ranges(len(x), chunk):
            parts = vmap(rows)(copy_inputs(x[few]))
            start = 0
            for name, p in self.trained.items():
                out[few, :, start : start + p.numel()] = parts[name].reshape(-1, self.copies, p.numel())
                start += p.numel()
        return out

    def _by_point(self, x: Any) -> Float[Tensor, "n outputs N"]:
        out = self._empty(n_points(x))
        for i, row in enumerate(out):
            row.copy_(self._by_graph(take_points(x, slice(i, i + 1)))[0])
        return out

    def _by_graph(self, x: Any) -> Float[Tensor, "n outputs N"]:
        columns = _columns(self._call(x), self.outputs)
        leaves = list(self.trained.values())
        out = self._empty(len(columns))
        for row, f in zip(out.flatten(0, 1), columns.reshape(-1), strict=True):
            parts = torch.autograd.grad(
                f, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            row.copy_(torch.cat([part.reshape(-1) for part in parts]))
        return out

    def _empty(self, n: int) -> Float[Tensor, "n outputs N"]:
        return torch.empty(n, self.copies, self.n_params, dtype=self.dtype, device=self.device)


def differentiable(model: nn.Module) -> nn.Module:
    """The module to differentiate: for a `ForceField` its energy model, which keeps a graph in eval mode."""
    if isinstance(model, ForceField) and modification(model, ForceField, parts=False) is None:
        return model.energy_model
    return model


def scalar_product_outputs(outputs: Any, x: Any, convention: Outputs) -> Float[Tensor, "n outputs"]:
    """The functions to differentiate for a kernel: the outputs of a module, or Σ_c f_c / √C."""
    return _columns(_shaped(outputs, x), convention)


def _columns(f: Tensor, convention: Outputs) -> Float[Tensor, "n outputs"]:
    f = f.reshape(len(f), -1)
    return f.sum(1, keepdim=True) * f.shape[1] ** -0.5 if convention == "sum" else f


def _shaped(outputs: Any, x: Any) -> Tensor:
    """Outputs (n,) or (n, C); for graphs the sums of atomic energies, or the energies of `EnergyForces`."""
    n = n_points(x)
    outputs = getattr(outputs, "energy", outputs)
    if not isinstance(outputs, Tensor):
        raise ValueError(f"model: expected outputs in one tensor, got {type(outputs).__name__}")
    if not isinstance(x, Tensor):
        outputs = graph_energies(outputs, x)
    if outputs.ndim == 2 and outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    if outputs.ndim not in (1, 2) or len(outputs) != n or n == 0 or outputs.numel() == 0:
        raise ValueError(
            f"model: expected outputs of shape (n,) or (n, outputs) for n >= 1 points, got outputs of shape "
            f"{tuple(outputs.shape)} for {n}"
        )
    return outputs


def equal_to_rounding(one: Tensor, other: Tensor) -> bool:
    """Whether no entry differs by more than √ε max |other|, with ε of the dtype of the other."""
    tolerance = torch.finfo(other.dtype).eps ** 0.5
    return bool(((one - other).abs() <= tolerance * other.abs().max()).all())


@contextmanager
def _measured(model: nn.Module) -> Iterator[None]:
    """Context in which a module is evaluated and differentiated, and left as found."""
    fast = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)  # torch's fused attention layer does not notice gradients inside vmap
    try:
        with (
            warnings.catch_warnings(),
            torch.inference_mode(False),
            as_found(model),
            torch.enable_grad(),
        ):
            warnings.filterwarnings("ignore", "There is a performance drop")  # operation without vmap rule
            yield
    finally:
        mha.set_fastpath_enabled(fast)
