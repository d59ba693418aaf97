"""The Hessian of a loss as H0 + Hp, and the spectrum of H0 from the tangent kernel."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from symnets.data import Batch
from symnets.loss import Loss, matched
from symnets.memory import check_memory
from symnets.models import Dense
from symnets.nn import modification
from symnets.observables import (
    as_found,
    copy_inputs,
    scalar_outputs,
    single_nets,
    take_points,
    tangent_kernel,
)
from symnets.observables._tangent_kernel._points import ranges
from symnets.observables.curvature._batches import Batches, joined, list_batches, loss_derivatives
from symnets.observables.curvature._dense_split import add_dense_split
from symnets.observables.curvature._model_copy import check_parameters, second_derivatives
from symnets.observables.curvature._operators import (
    CurvatureOperator,
    GaussNewtonOperator,
    HessianOperator,
    ResidualOperator,
)
from symnets.observables.curvature._spectrum import STRIP, Spectrum, mirror


@dataclass(frozen=True)
class HessianSplit:
    """Hessian H = H0 + Hp of L = (1/P) Σ_μ ℓ(f_μ, y_μ), rows in the order of `model.parameters()`, flattened.

    Attributes:
        h0: (1/P) Σ ℓ'' ∇f ∇fᵀ; positive semidefinite for a convex loss, and of rank at most the number of
            patterns with ℓ'' ≠ 0 (times the number of outputs).
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


@torch.inference_mode(False)  # derivatives are needed there too
def hessian_split(model: nn.Module, loss: Loss, batch: Batches) -> HessianSplit:
    """The two parts H0 and Hp of the Hessian, as dense matrices.

    For `Dense` nets of scalar output they are computed in closed form, in memory for at most 3 N² numbers,
    and 2 N² for each further member.
    For any other module they are computed column by column through autodiff (`GaussNewtonOperator`,
    `ResidualOperator`), at N times the cost of a few backward passes. Members of an ensemble (`Dense`,
    `Ensemble`) are taken one by one. Parameters with `requires_grad=False` have no row. At kinks (ReLU at 0,
    the hinge at the margin) the derivatives are those that torch or the loss defines.

    Args:
        model: any module; evaluated in its current mode (dropout, batch norm) and left as found.
        loss: per example, or a mean such as `nn.MSELoss()`; the closed form uses its methods d1 and d2 if it
            has them.
        batch: inputs and targets, or an iterable of such pairs. For an ensemble, a single batch of inputs
            (S, n, d_in) and targets (S, n) gives each member its own examples.

    Raises:
        ValueError: no parameters that require a gradient, a loss that is neither per example nor a mean or
            that depends on the parameters directly, shapes or dtypes that do not fit, an operation without
            second derivative, or a matrix that differs from its transpose.
        MemoryError: the matrices do not fit into memory.

    Source: Geiger et al. 2019, arXiv:1809.09349.

    Example:
        For a linear function of the parameters Hp = 0.
    """
    batches = list_batches(batch)
    members: int | None = getattr(model, "members", None)
    trained = [p for p in model.parameters() if p.requires_grad]
    check_parameters(trained)
    n = sum(p.numel() for p in trained) // (members or 1)
    shape = (n, n) if members is None else (members, n, n)
    h0, hp = _zeros(shape, trained[0]), _zeros(shape, trained[0])
    with second_derivatives():
        if members is None:
            _split(h0, hp, model, loss, batches)
            return HessianSplit(h0, hp)
        nets = [single_nets(model, b.inputs) for b in batches]
        for s, pairs in enumerate(zip(*nets, strict=True)):
            own = [
                Batch(x, _of_member(b.targets, s, members)) for (_, x), b in zip(pairs, batches, strict=True)
            ]
            _split(h0[s], hp[s], pairs[0][0], loss, own)
    return HessianSplit(h0, hp)


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """A matrix of zeros for each member.

    Raises:
        MemoryError: it does not fit, together with the other one and with temporaries.
    """
    n, count = shape[-1], 2 * math.prod(shape[:-2]) + 1  # members share the temporary
    size = count * n**2 * like.element_size()
    what = f"hessian_split: {count} matrices of {n:,} x {n:,} numbers (H0, Hp and one temporary)"
    instead = "use HessianOperator, which needs no matrix, or freeze parameters (requires_grad=False)"
    if like.device.type == "cpu":
        check_memory(what, size, instead)
    try:
        return like.new_zeros(shape)
    except RuntimeError as error:
        raise MemoryError(f"{what} take {size / 2**30:,.1f} GiB, which are not free; {instead}") from error


def _of_member(targets: Tensor, member: int, members: int) -> Tensor:
    """Targets of one member: a row of its own where they have an axis of members, (S, n) or (S, n, 1)."""
    columns = targets.ndim > 1 and targets.shape[-1] == 1 and targets.shape[0] != members
    return targets[member] if targets.ndim >= 2 and not columns else targets


def _split(h0: Tensor, hp: Tensor, model: nn.Module, loss: Loss, batches: list[Batch]) -> None:
    """Write H0 and Hp of a single net into matrices of zeros."""
    all_trained = all(p.requires_grad for p in model.parameters())
    if modification(model, Dense) is None and model.d_out is None and all_trained:
        x, y = joined(batches)
        y = y[..., 0] if y.ndim == 2 and y.shape[1] == 1 else y
        _check(model, x, y)  # pyright: ignore[reportArgumentType]
        add_dense_split(h0, hp, model, loss, x, y.to(h0.dtype))  # pyright: ignore[reportArgumentType]
        return
    for matrix, operator in ((h0, GaussNewtonOperator), (hp, ResidualOperator)):
        _fill(matrix, operator(model, loss, batches))
    # Entries (i, j) and (j, i) come from different products; they agree if all second derivatives are right.
    size = float(torch.linalg.matrix_norm(h0) + torch.linalg.matrix_norm(hp))
    error = max(_asymmetry(h0), _asymmetry(hp))
    if error > torch.finfo(h0.dtype).eps ** 0.5 * size:
        raise ValueError(
            f"hessian_split: the matrix differs from its transpose by {error / size:.1%} of its norm: an "
            "operation of the model has a wrong second derivative (torch's weight_norm, a backward pass in "
            "numpy or with once_differentiable); replace it"
        )
    HessianOperator(model, loss, batches[:1])  # warns if a symmetric matrix is wrong
    mirror(h0)
    mirror(hp)


def _check(model: Dense, x: Tensor, y: Tensor) -> None:
    dtype = model.weights[0].dtype
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(
            f"batch: expected inputs (n, {model.d_in}) and targets (n,) with n >= 1, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    if x.dtype != dtype:
        raise ValueError(f"batch: expected inputs in {dtype} as in the model, got {x.dtype}")


def _fill(matrix: Float[Tensor, "N N"], operator: CurvatureOperator) -> None:
    """Write an operator into a matrix, column by column."""
    for columns in ranges(len(matrix), STRIP):
        identity = np.eye(len(matrix), columns.stop - columns.start, -columns.start)
        matrix[columns] = torch.from_numpy(operator @ identity).T.to(matrix)


def _asymmetry(matrix: Float[Tensor, "N N"]) -> float:
    """|A - Aᵀ|, Frobenius; strip by strip."""
    squares = [
        (matrix[rows] - matrix[:, rows].T).double().square().sum() for rows in ranges(len(matrix), STRIP)
    ]
    return float(torch.stack(squares).sum().sqrt())


@torch.inference_mode(False)
def h0_spectrum(model: nn.Module, loss: Loss, batch: Batches) -> Spectrum:
    """Spectrum of H0 = (1/P) Σ ℓ'' ∇f ∇fᵀ: its min(N, N_Δ) largest eigenvalues; the others are exactly zero.

    Let G be the gradients of the N_Δ patterns that have ℓ'' ≠ 0, w = ℓ''/P, and Θ = GᵀG the tangent kernel.
    H0 = G w Gᵀ and √w Θ √w have the same non-zero eigenvalues. For a finite-range loss N_Δ is the number of
    unsatisfied patterns.

    Args:
        model: a net with one output per pattern, no members; evaluated in its current mode, left as found.
        loss: per example or a mean, and convex.
        batch: inputs and targets, a tensor or graphs and a tensor; or an iterable of pairs of tensors.

    Raises:
        ValueError: members, several outputs, a loss that is neither per example nor a mean, or ℓ'' < 0 at a
            pattern.
    """
    if getattr(model, "members", None) is not None:
        raise ValueError("model: expected a single net, got members; take model.member(s)")
    batch = joined(list_batches(batch))
    parameters = [p for p in model.parameters() if p.requires_grad]
    check_parameters(parameters)
    with as_found(model), torch.no_grad():
        outputs, targets = matched(model(copy_inputs(batch.inputs)), batch.targets)
    outputs = scalar_outputs(outputs, targets)
    _, d2 = loss_derivatives(loss, outputs, targets, parameters)
    if bool((d2 < 0).any()):
        raise ValueError(
            f"loss: expected ℓ'' >= 0, got {d2.min().item():.3g}; use spectrum(hessian_split(...).h0)"
        )
    active = torch.nonzero(d2)[:, 0]
    if len(active) == 0:
        return Spectrum(outputs.new_zeros(0))
    root = (d2[active] / len(d2)).sqrt()
    kernel = tangent_kernel(model, take_points(batch.inputs, active)) * root[:, None] * root
    n_params = sum(p.numel() for p in parameters)
    return Spectrum(torch.linalg.eigvalsh(kernel)[-n_params:])
