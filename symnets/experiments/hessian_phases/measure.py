"""The Hessian of a net at the end of its minimisation, measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data.loader import Batch
from symnets.experiments import progress
from symnets.experiments.decompression import JammedState, decompress
from symnets.experiments.experiment import Result, Scalar
from symnets.experiments.hessian_phases.config import Config
from symnets.experiments.nets import minimise
from symnets.models.dense import Dense
from symnets.observables.curvature.inertia import inertia
from symnets.observables.curvature.spectrum import spectrum
from symnets.observables.curvature.split import HessianSplit, hessian_split
from symnets.observables.margins import margins
from symnets.training.pointwise import QuadraticHinge

NUMBERS = ("n_params", "n_negative", "n_zero", "rank", "n_flat", "scale", "reach", "largest")


def run(configs: Sequence[Config]) -> list[Result]:
    """Minimises all nets together, decompresses each if asked to, and takes its Hessian.

    Rows as `Minimised.rows` tells them, of the last minimum if decompressed, with `jammed_n_train` patterns
    left (None otherwise); and the fields and properties of `Curvature` that are numbers. Arrays: eigenvalues
    of H, H0 and Hp, named h, h0 and hp; of decompressed nets `path_loss` and `path_scale` of all minima.

    SAT nets have the Hessian of the loss as it is: patterns with 0 < Δ <= tolerance are in it. Without them
    it would be zero by definition. Elsewhere they are left out, as they are from N_Δ.
    """
    found = minimise(configs)
    results = []
    for k, (config, row) in enumerate(zip(configs, found.rows(configs), strict=True)):
        progress.report(k / len(configs), f"net {k + 1} of {len(configs)}")
        train = Batch(found.train.inputs[[k]], found.train.targets[[k]])
        minima = decompress(found.model.select([k]), train, config) if config.decompressed else []
        row |= {"jammed_n_train": minima[-1].n_train if minima else None}
        if not minima:
            tolerance = 0.0 if row["verdict"] == "SAT" else config.tolerance
            end, path = curvature(found.model.member(k), _own(train), tolerance), {}
        else:
            row |= _jammed_row(minima[-1], config)
            steps = [curvature(state.net.member(0), _own(state.train), config.tolerance) for state in minima]
            end, losses = steps[-1], [state.loss for state in minima]
            path = {"path_loss": np.array(losses), "path_scale": np.array([c.scale for c in steps])}
        numbers = {name: getattr(end, name) for name in NUMBERS}
        spectra = {name: getattr(end, name).numpy() for name in ("h", "h0", "hp")}
        results.append(Result(row | numbers, spectra | path))
    return results


def _own(train: Batch) -> Batch:
    """Patterns of a single net, without the axis of members."""
    return Batch(train.inputs[0], train.targets[0])


def _jammed_row(state: JammedState, config: Config) -> dict[str, Scalar]:
    n_unsatisfied = int((state.gaps > config.tolerance).sum())
    return {
        "verdict": "UNSAT",
        "ratio": state.n_train / config.n_weights,
        "n_unsatisfied": n_unsatisfied,
        "unsatisfied_per_weight": n_unsatisfied / config.n_weights,
        "n_misclassified": int((state.gaps >= 1).sum()),
        "final_loss": state.loss,
        "hinge_loss": state.loss,
        "gradient_norm": None,
    }


@dataclass(frozen=True)
class Curvature:
    """What is measured of H = H0 + Hp, of n_params rows.

    Attributes:
        h: eigenvalues of H, ascending, (n_params,).
        h0: those of H0.
        hp: those of Hp.
        n_negative: N_-, negative eigenvalues of Hp, by inertia.
        n_zero: eigenvalues of Hp that are zero to rounding.
        rank: of H0, up to rounding; at most N_Δ.
    """

    h: Float[Tensor, "n_params"]
    h0: Float[Tensor, "n_params"]
    hp: Float[Tensor, "n_params"]
    n_negative: int
    n_zero: int
    rank: int

    @property
    def n_params(self) -> int:
        """Parameters of the net, biases included."""
        return len(self.h)

    @property
    def scale(self) -> float:
        """|Hp|_F / √n_params, the root mean square of the eigenvalues of Hp."""
        return float(self.hp.square().mean().sqrt())

    @property
    def reach(self) -> float:
        """|Hp|, its largest eigenvalue in modulus: no eigenvalue of H0 is moved farther (Weyl)."""
        return float(self.hp.abs().max())

    @property
    def largest(self) -> float:
        """The largest eigenvalue of H or Hp in modulus."""
        return max(self.reach, float(self.h.abs().max()))

    @property
    def n_flat(self) -> int:
        """Eigenvalues of H within ± |Hp|: those of the δ at 0 of H0, and whatever else lies there."""
        return int((self.h.abs() <= self.reach * (1 + 1e-9)).sum())


def curvature(net: Dense, batch: Batch, tolerance: float) -> Curvature:
    """Curvature of the mean quadratic hinge, in float64 whatever the net was trained in.

    Patterns with a gap of at most the tolerance count as satisfied and add nothing; with tolerance 0 it is
    the Hessian of the loss as it is. Zero to rounding is what `inertia` takes for it.
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
