"""Loss of force fields: terms of energy, forces and stress, and their weighted sum."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import Labels

Term = Callable[[Any, Labels], Float[Tensor, " graphs"]]
"""(prediction with energy, forces and stress; labels) -> one value a structure."""


def weighted_sum(*terms: tuple[float, Term]) -> Term:
    """Loss Σ weight · term of force fields, one value a structure; terms of weight zero are not computed.

    Raises:
        ValueError: no term has a weight other than zero.
    """
    kept = [(weight, term) for weight, term in terms if weight]
    if not kept:
        raise ValueError("weighted_sum: expected a term of non-zero weight, got none")

    def loss(outputs: Any, labels: Labels) -> Tensor:
        first, *rest = [weight * term(outputs, labels) for weight, term in kept]
        return sum(rest, first)

    return loss


def energy_term(huber: float | None = None) -> Term:
    """Energy term of a loss: ρ((E - E*) / n_atoms), with energies in eV.

    ρ is the square, or with `huber` twice Huber's function: quadratic up to `huber`, linear beyond.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        # In float64: total energies may be near -10⁴ eV.
        return _rho(_error(outputs.energy, labels.energy) / labels.n_atoms, huber)

    return term


def forces_term(huber: float | None = None) -> Term:
    """Forces term: mean of ρ(F - F*) over atoms and components, F in eV/Å; ρ as in `energy_term`."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.forces is None:
            raise ValueError("loss: the weight of forces is not 0, but the data has no forces; set it to 0")
        each = _rho(_error(outputs.forces, labels.forces), huber).mean(1)
        total = each.new_zeros(labels.n_atoms.shape[0]).index_add(0, labels.owner, each)
        return total / labels.n_atoms

    return term


def stress_term(huber: float | None = None) -> Term:
    """Stress term: mean of ρ(σ - σ*) over the nine components, σ in eV/Å³; ρ as in `energy_term`."""

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.stress is None:
            raise ValueError("loss: the weight of stress is not 0, but the data has no stress; set it to 0")
        if outputs.stress is None:  # a batch of molecules, which have no stress
            return labels.stress.new_zeros(labels.stress.shape[0])
        return _rho(_error(outputs.stress, labels.stress), huber).flatten(1).mean(1)

    return term


def tensor_term(name: str, *, of_atoms: bool = False, unit: float | Sequence[float] = 1.0) -> Term:
    """Term of a named tensor t: mean of ((t - t*) / unit)² over its components, and over atoms.

    Args:
        name: name of the output of a `TensorModel` and of its label.
        of_atoms: whether each atom has one, not each structure.
        unit: such as the standard deviation of the label; one number, or one for each component.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.tensors is None or name not in labels.tensors:
            raise ValueError(f"loss: expected labels of {name}, but the data has none")
        output = outputs.tensors[name]
        error = _error(output, labels.tensors[name]) / torch.as_tensor(unit).to(output)
        each = error.square().reshape(len(error), -1).mean(1)
        if not of_atoms:
            return each
        total = each.new_zeros(labels.n_atoms.shape[0]).index_add(0, labels.owner, each)
        return total / labels.n_atoms

    return term


def _error(prediction: Tensor, label: Tensor) -> Tensor:
    """Prediction minus label, zero where there is no label (NaN)."""
    return torch.where(label.isnan(), 0.0, prediction - label)


def _rho(error: Tensor, huber: float | None) -> Tensor:
    """error², or twice Huber's function: quadratic up to `huber`, linear beyond."""
    if huber is None:
        return error**2
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=huber)
