"""The Hessian of a loss in two parts: curvature of the loss, curvature of the net.

The spectrum of H0 without H0: that of the tangent kernel of the patterns that count.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import scalar_outputs, tangent_kernel
from symnets.observables.curvature._dense_split import add_dense_split
from symnets.observables.curvature._operators import (
    GaussNewtonOperator,
    Loss,
    ResidualOperator,
    loss_derivatives,
)
from symnets.observables.curvature._spectrum import Spectrum, mirror, strips


@dataclass(frozen=True)
class HessianSplit:
    """H = H0 + Hp of L = (1/P) Σ_μ ℓ(f_μ, y_μ), in the order of `model.parameters()`, flattened.

    Attributes:
        h0: (1/P) Σ ℓ'' ∇f ∇f^T; for a convex loss positive semidefinite, of a rank of at most the
            number of patterns with ℓ'' ≠ 0 (times outputs a pattern).
        hp: (1/P) Σ ℓ' ∇²f; of trace 0 for ReLU nets.
    """

    h0: Float[Tensor, "*members N N"]
    hp: Float[Tensor, "*members N N"]

    @property
    def h(self) -> Float[Tensor, "*members N N"]:
        """The Hessian; a matrix more."""
        return self.h0 + self.hp

    @property
    def n_params(self) -> int:
        """N."""
        return self.h0.shape[-1]


def hessian_split(model: nn.Module, loss: Loss, batch: Batch) -> HessianSplit:
    """H0 and Hp as dense matrices.

    For `Dense` nets of scalar output in closed form, in 3 N² words with everything; for any other
    module column by column through autodiff (`GaussNewtonOperator`, `ResidualOperator`), N times
    the cost of some backward passes. Models with members (`Dense`, `Ensemble`) are taken member by
    member. Parameters with `requires_grad=False` have no row. At kinks (ReLU at 0, the hinge at the
    margin) the derivatives are those that torch or the loss takes.

    Args:
        model: in the mode it is in (dropout, batch norm); left as found.
        loss: per example, not reduced; its methods d1 and d2 are used by the closed form if it has them.
        batch: inputs and targets; with members, (S, n, d_in) and (S, n) give each its own.

    Raises:
        ValueError: nothing to differentiate, a reduced loss, shapes or dtypes that do not fit.

    Source: Geiger et al. 2019, arXiv:1809.09349.

    Example:
        A linear function of the parameters has Hp = 0.
    """
    members = getattr(model, "members", None)
    first = next(model.parameters())
    n = sum(p.numel() for p in model.parameters() if p.requires_grad) // (members or 1)
    shape = (n, n) if members is None else (members, n, n)
    h0, hp = first.new_zeros(shape), first.new_zeros(shape)
    if members is None:
        _split(h0, hp, model, loss, batch.inputs, batch.targets)
        return HessianSplit(h0, hp)
    for s in range(members):
        own = isinstance(batch.inputs, Tensor) and isinstance(model, Dense) and batch.inputs.ndim == 3
        y = batch.targets[s] if batch.targets.ndim == 2 else batch.targets
        member: nn.Module = model.member(s)  # pyright: ignore
        for p, q in zip(member.parameters(), model.parameters(), strict=True):
            p.requires_grad_(q.requires_grad)
        _split(h0[s], hp[s], member, loss, batch.inputs[s] if own else batch.inputs, y)
    return HessianSplit(h0, hp)


def _split(h0: Tensor, hp: Tensor, model: nn.Module, loss: Loss, x: Tensor, y: Tensor) -> None:
    """H0 and Hp of a single net, written into matrices of zeros."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if isinstance(model, Dense) and model.d_out is None and len(trained) == len(list(model.parameters())):
        _check(model, x, y)
        add_dense_split(h0, hp, model, loss, x, y)
        return
    _fill(h0, GaussNewtonOperator, model, loss, x, y)
    _fill(hp, ResidualOperator, model, loss, x, y)


def _check(model: Dense, x: Tensor, y: Tensor) -> None:
    dtype = model.weights[0].dtype
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(
            f"batch: expected inputs (n, {model.d_in}) and targets (n,) with n >= 1, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.dtype != dtype or y.dtype != dtype:
        raise ValueError(f"batch: expected {dtype} as in the model, got {x.dtype} and {y.dtype}")


def _fill(
    matrix: Float[Tensor, "N N"], operator: type, model: nn.Module, loss: Loss, x: Tensor, y: Tensor
) -> None:
    """Writes an operator into a matrix, column by column."""
    product = operator(model, loss, Batch(x, y))
    for columns in strips(len(matrix)):
        identity = np.eye(len(matrix), columns.stop - columns.start, -columns.start)
        matrix[columns] = torch.from_numpy(product @ identity).T.to(matrix)
    mirror(matrix)


def h0_spectrum(model: nn.Module, loss: Loss, batch: Batch) -> Spectrum:
    """The min(N, N_Δ) largest eigenvalues of H0 = (1/P) Σ ℓ'' ∇f ∇f^T; the others are exactly zero.

    With G the gradients of the N_Δ patterns that have ℓ'' ≠ 0 and w = ℓ''/P, H0 = G w G^T and
    √w G^T G √w = √w Θ √w have the same non-zero eigenvalues; Θ is the tangent kernel.
    For a finite-range loss, N_Δ is the number of unsatisfied patterns.

    Args:
        model: one output a pattern, no members.
        loss: per example and convex.
        batch: inputs and targets.

    Raises:
        ValueError: members, several outputs, a reduced loss, or ℓ'' < 0 somewhere.
    """
    if getattr(model, "members", None) is not None:
        raise ValueError("model: expected a single net, got members; take model.member(s)")
    with torch.no_grad():
        outputs = scalar_outputs(model(batch.inputs), batch.targets)
    _, d2 = loss_derivatives(loss, outputs, batch.targets)
    if bool((d2 < 0).any()):
        raise ValueError(f"loss: expected ℓ'' >= 0, got {d2.min().item():.3g}; take spectrum(split.h0)")
    active = torch.nonzero(d2)[:, 0]
    if len(active) == 0:
        return Spectrum(outputs.new_zeros(0))
    root = (d2[active] / len(d2)).sqrt()
    kernel = tangent_kernel(model, batch.inputs[active]) * root[:, None] * root
    n_params = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Spectrum(torch.linalg.eigvalsh(kernel)[-n_params:])
