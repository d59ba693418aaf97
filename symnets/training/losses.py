"""Losses of force fields: weighted sums of terms, one value a structure."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data.graph import Labels

Term = Callable[[Any, Labels], Float[Tensor, " graphs"]]
"""(prediction with energy, forces, stress; labels) -> one number a structure."""


def weighted_sum(*terms: tuple[float, Term]) -> Term:
    """Σ weight · term, one value a structure; terms of weight zero are not computed."""
    kept = [(weight, term) for weight, term in terms if weight]
    if not kept:
        raise ValueError("weighted_sum: expected a term of positive weight, got none")

    def loss(outputs: Any, labels: Labels) -> Tensor:
        first, *rest = [weight * term(outputs, labels) for weight, term in kept]
        return sum(rest, first)

    return loss


def energy_term(huber: float | None = None) -> Term:
    """ρ((E - E*) / n_atoms): error of the energy per atom, in eV."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        # Subtracted in float64: total energies may be near -10⁴ eV.
        return _rho(_error(outputs.energy, labels.energy) / labels.n_atoms, huber)

    return term


def forces_term(huber: float | None = None) -> Term:
    """Mean of ρ(F - F*) over the atoms of a structure and the three components, in eV/Å."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.forces is None:
            raise ValueError("the loss weighs forces, but the data holds none; set the weight of forces to 0")
        each = _rho(_error(outputs.forces, labels.forces), huber).mean(1)
        total = each.new_zeros(labels.n_atoms.shape[0]).index_add(0, labels.owner, each)
        return total / labels.n_atoms

    return term


def stress_term(huber: float | None = None) -> Term:
    """Mean of ρ(σ - σ*) over the nine components, in eV/Å³."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.stress is None:
            raise ValueError("the loss weighs stress, but the data holds none; set the weight of stress to 0")
        if outputs.stress is None:  # a batch of molecules
            if not labels.stress.isnan().all():
                raise ValueError("a structure that is not periodic has a stress label; remove it")
            return labels.stress.new_zeros(labels.stress.shape[0])
        return _rho(_error(outputs.stress, labels.stress), huber).flatten(1).mean(1)

    return term


def _error(prediction: Tensor, label: Tensor) -> Tensor:
    """Prediction minus label, zero where there is no label (NaN)."""
    return torch.where(label.isnan(), 0.0, prediction - label)


def _rho(error: Tensor, huber: float | None) -> Tensor:
    """error², or twice Huber's function: quadratic up to `huber`, linear beyond."""
    if huber is None:
        return error**2
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=huber)
