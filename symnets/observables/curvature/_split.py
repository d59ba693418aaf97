"""The Hessian of a loss as H0 + Hp, and the spectrum of H0 from the tangent kernel."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Batch
from symnets.loss import Loss
from symnets.models import Dense
from symnets.observables import as_found, scalar_outputs, tangent_kernel
from symnets.observables.curvature._batches import Batches, joined, list_batches, loss_derivatives
from symnets.observables.curvature._dense_split import add_dense_split
from symnets.observables.curvature._operators import CurvatureOperator, GaussNewtonOperator, ResidualOperator
from symnets.observables.curvature._spectrum import Spectrum, mirror, strips


@dataclass(frozen=True)
class HessianSplit:
    """Hessian H = H0 + Hp of L = (1/P) Σ_μ ℓ(f_μ, y_μ), rows in the order of `model.parameters()`, flattened.

    Attributes:
        h0: (1/P) Σ ℓ'' ∇f ∇fᵀ; positive semidefinite for a convex loss, and of rank at most the number of
            patterns with ℓ'' ≠ 0 (times outputs a pattern).
        hp: (1/P) Σ ℓ' ∇²f; its trace is 0 for ReLU nets.
    """

    h0: Float[Tensor, "*members N N"]
    hp: Float[Tensor, "*members N N"]

    @property
    def h(self) -> Float[Tensor, "*members N N"]:
        """The Hessian, a new matrix."""
        return self.h0 + self.hp

    @property
    def n_params(self) -> int:
        """Number N of parameters."""
        return self.h0.shape[-1]


def hessian_split(model: nn.Module, loss: Loss, batch: Batches) -> HessianSplit:
    """The two parts H0 and Hp of the Hessian, as dense matrices.

    For `Dense` nets of scalar output they are computed in closed form, in 3 N² words in total. For any other
    module they are computed column by column through autodiff (`GaussNewtonOperator`, `ResidualOperator`), at
    N times the cost of some backward passes. Members of an ensemble (`Dense`, `Ensemble`) are taken one by
    one. Parameters with `requires_grad=False` have no row. At kinks (ReLU at 0, the hinge at the margin) the
    derivatives are those that torch or the loss defines.

    Args:
        model: in its current mode (dropout, batch norm); left as found.
        loss: per example, or a mean such as `nn.MSELoss()`; the closed form uses its methods d1 and d2 if it
            has them.
        batch: inputs and targets, or an iterable of such pairs. For an ensemble a single batch (S, n, d_in)
            and (S, n) gives each member its own.

    Raises:
        ValueError: no parameters that require a gradient, a loss that is neither per example nor a mean, or
            shapes or dtypes that do not fit.

    Source: Geiger et al. 2019, arXiv:1809.09349.

    Example:
        For a linear function of the parameters Hp = 0.
    """
    batches = list_batches(batch)
    members = getattr(model, "members", None)
    first = next(model.parameters())
    n = sum(p.numel() for p in model.parameters() if p.requires_grad) // (members or 1)
    shape = (n, n) if members is None else (members, n, n)
    h0, hp = first.new_zeros(shape), first.new_zeros(shape)
    if members is None:
        _split(h0, hp, model, loss, batches)
        return HessianSplit(h0, hp)
    for s in range(members):
        member: nn.Module = model.member(s)  # pyright: ignore
        for p, q in zip(member.parameters(), model.parameters(), strict=True):
            p.requires_grad_(q.requires_grad)
        _split(h0[s], hp[s], member, loss, [_of_member(model, b, s) for b in batches])
    return HessianSplit(h0, hp)


def _of_member(model: nn.Module, batch: Batch, member: int) -> Batch:
    """The batch of one member: rows of its own where inputs or targets have a member axis."""
    x, y = batch
    own = isinstance(x, Tensor) and isinstance(model, Dense) and x.ndim == 3
    return Batch(x[member] if own else x, y[member] if y.ndim == 2 else y)


def _split(h0: Tensor, hp: Tensor, model: nn.Module, loss: Loss, batches: list[Batch]) -> None:
    """Write H0 and Hp of a single net into matrices of zeros."""
    all_trained = all(p.requires_grad for p in model.parameters())
    if isinstance(model, Dense) and model.d_out is None and all_trained:
        x, y = joined(batches)
        _check(model, x, y)
        add_dense_split(h0, hp, model, loss, x, y)
        return
    _fill(h0, GaussNewtonOperator(model, loss, batches))
    _fill(hp, ResidualOperator(model, loss, batches))


def _check(model: Dense, x: Tensor, y: Tensor) -> None:
    dtype = model.weights[0].dtype
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(
            f"batch: expected inputs (n, {model.d_in}) and targets (n,) with n >= 1, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.dtype != dtype or y.dtype != dtype:
        raise ValueError(f"batch: expected {dtype} as in the model, got {x.dtype} and {y.dtype}")


def _fill(matrix: Float[Tensor, "N N"], operator: CurvatureOperator) -> None:
    """Write an operator into a matrix, column by column."""
    for columns in strips(len(matrix)):
        identity = np.eye(len(matrix), columns.stop - columns.start, -columns.start)
        matrix[columns] = torch.from_numpy(operator @ identity).T.to(matrix)
    mirror(matrix)


def h0_spectrum(model: nn.Module, loss: Loss, batch: Batches) -> Spectrum:
    """Spectrum of H0 = (1/P) Σ ℓ'' ∇f ∇fᵀ: its min(N, N_Δ) largest eigenvalues; the others are exactly zero.

    With G the gradients of the N_Δ patterns that have ℓ'' ≠ 0 and w = ℓ''/P, H0 = G w Gᵀ and √w GᵀG √w = √w Θ
    √w have the same non-zero eigenvalues, where Θ is the tangent kernel. For a finite-range loss N_Δ is the
    number of unsatisfied patterns.

    Args:
        model: one output a pattern, no members; in its current mode, left as found.
        loss: per example or a mean, and convex.
        batch: inputs and targets as tensors, or an iterable of such pairs.

    Raises:
        ValueError: members, several outputs, a loss that is neither per example nor a mean, or ℓ'' < 0 at a
            pattern.
    """
    if getattr(model, "members", None) is not None:
        raise ValueError("model: expected a single net, got members; take model.member(s)")
    batch = joined(list_batches(batch))
    with as_found(model), torch.no_grad():
        outputs = scalar_outputs(model(batch.inputs), batch.targets)
    _, d2 = loss_derivatives(loss, outputs, batch.targets)
    if bool((d2 < 0).any()):
        raise ValueError(
            f"loss: expected ℓ'' >= 0, got {d2.min().item():.3g}; use spectrum(hessian_split(...).h0)"
        )
    active = torch.nonzero(d2)[:, 0]
    if len(active) == 0:
        return Spectrum(outputs.new_zeros(0))
    root = (d2[active] / len(d2)).sqrt()
    kernel = tangent_kernel(model, batch.inputs[active]) * root[:, None] * root
    n_params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Spectrum(torch.linalg.eigvalsh(kernel)[-n_params:])
