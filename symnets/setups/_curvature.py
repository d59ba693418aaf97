"""Curvature of the loss of a dense net: spectra of both parts of the Hessian of the quadratic hinge."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import margins
from symnets.observables.curvature import HessianSplit, hessian_split, inertia, spectrum
from symnets.training import QuadraticHinge


@dataclass(frozen=True)
class Curvature:
    """Spectra of the Hessian H = H0 + Hp and of both its parts, with n_params eigenvalues each.

    Attributes:
        h: eigenvalues of H, ascending, (n_params,).
        h0: those of H0.
        hp: those of Hp.
        n_negative: N_-, the number of negative eigenvalues of Hp, by inertia.
        n_zero: number of eigenvalues of Hp that are zero within rounding errors.
        rank: rank of H0 within rounding errors; at most N_Δ.
    """

    h: Float[Tensor, "n_params"]
    h0: Float[Tensor, "n_params"]
    hp: Float[Tensor, "n_params"]
    n_negative: int
    n_zero: int
    rank: int

    @property
    def n_params(self) -> int:
        """Number of parameters of the net, biases included."""
        return len(self.h)

    @property
    def scale(self) -> float:
        """|Hp|_F / √n_params, the root mean square of the eigenvalues of Hp."""
        return float(self.hp.square().mean().sqrt())

    @property
    def reach(self) -> float:
        """|Hp|, its largest absolute eigenvalue: Hp shifts eigenvalues of H0 by no more than this (Weyl)."""
        return float(self.hp.abs().max())

    @property
    def largest(self) -> float:
        """The largest absolute eigenvalue of H and Hp."""
        return max(self.reach, float(self.h.abs().max()))

    @property
    def n_flat(self) -> int:
        """Number of eigenvalues of H within ± |Hp|, which include those of the δ-peak of H0."""
        return int((self.h.abs() <= self.reach * (1 + 1e-9)).sum())


def loss_curvature(net: Dense, batch: Batch, tolerance: float) -> Curvature:
    """Curvature of the mean quadratic hinge of a net, in float64.

    Patterns with a gap of at most the tolerance count as satisfied and do not contribute; with tolerance 0
    the result is the Hessian of the loss itself. `inertia` decides which eigenvalues are zero within rounding
    errors.
    """
    net = net.double()
    x, y = batch.inputs.double(), batch.targets.double()
    missed = margins(net, Batch(x, y), tolerance=tolerance).unsatisfied
    n_params = sum(p.numel() for p in net.parameters())
    if not bool(missed.any()):
        zero = torch.zeros(n_params, dtype=torch.float64)
        return Curvature(zero, zero, zero, 0, n_params, 0)
    share = float(missed.double().mean())
    part = hessian_split(net, QuadraticHinge(), Batch(x[missed], y[missed]))
    split = HessianSplit(part.h0 * share, part.hp * share)
    h, h0, hp = (spectrum(matrix).eigenvalues.cpu() for matrix in (split.h, split.h0, split.hp))
    of_hp = inertia(split.hp)
    return Curvature(
        h, h0, hp, int(of_hp.n_negative), int(of_hp.n_zero), n_params - int(inertia(split.h0).n_zero)
    )
