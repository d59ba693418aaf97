"""Loss of force fields: terms of energy, forces, stress and other tensors, and their weighted sum.

A term has one value for each structure: the mean over the components whose label the structure has, or zero,
with zero gradient, if it has none. NaN marks a missing label. In formulas E* is the label of E, and so on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from symnets.data import Labels

Term = Callable[[Any, Labels], Float[Tensor, " graphs"]]
"""Function of a prediction (with energy, forces and stress) and labels; one value for each structure."""


def weighted_sum(*terms: tuple[float, Term]) -> Term:
    """Loss of force fields with one value for each structure; terms of weight zero are not computed.

    The loss of structure g is w_g Σ_k λ_k e_kg, with the weights λ_k of the terms e_kg, which are zero where
    the structure has no label k, and with the weight w_g of the structure (`Labels.weight`, 1 by default). If
    n of N structures have the label, the mean of e_kg over all N is n/N of the mean over the n. For the
    latter, give the term the weight λ_k N/n, as `symnets.potentials.training_loss` does.

    Raises:
        ValueError: no term has a weight other than zero.
    """
    kept = [(weight, term) for weight, term in terms if weight]
    if not kept:
        raise ValueError("weighted_sum: expected a term of non-zero weight, got none")

    def loss(outputs: Any, labels: Labels) -> Tensor:
        first, *rest = [weight * term(outputs, labels) for weight, term in kept]
        total = sum(rest, first)
        return total if labels.weight is None else total * labels.weight

    return loss


def energy_term(huber: float | None = None) -> Term:
    """Energy term of a loss: ρ((E - E*) / n_atoms), with the energy E and its label E* in eV.

    ρ is the square, or with `huber` twice Huber's function: the square up to `huber`, linear beyond.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        # In float64: total energies may be near -10⁴ eV.
        return _rho(_error(outputs.energy, labels.energy) / labels.n_atoms, huber)

    return term


def forces_term(huber: float | None = None) -> Term:
    """Forces term of a loss: mean of ρ(F - F*) over labelled components, in eV/Å; ρ as in `energy_term`.

    The term raises ValueError for labels without forces.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.forces is None:
            raise ValueError("loss: the weight of forces is not 0, but the data has no forces; set it to 0")
        each = _rho(_error(outputs.forces, labels.forces), huber)
        return _mean_of_labelled(each, labels.forces, labels, of_atoms=True)

    return term


def stress_term(huber: float | None = None) -> Term:
    """Stress term of a loss: mean of ρ(σ - σ*) over the nine components in eV/Å³; ρ as in `energy_term`.

    The term raises ValueError for labels without stress.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.stress is None:
            raise ValueError("loss: the weight of stress is not 0, but the data has no stress; set it to 0")
        if outputs.stress is None:  # a batch of molecules, which have no stress
            return labels.stress.new_zeros(labels.stress.shape[0])
        return _mean_of_labelled(_rho(_error(outputs.stress, labels.stress), huber), labels.stress, labels)

    return term


def tensor_term(name: str, *, of_atoms: bool = False, unit: float | Sequence[float] = 1.0) -> Term:
    """Term of a tensor t: mean of ((t - t*) / unit)² over labelled components, and over atoms if `of_atoms`.

    The term raises ValueError for labels without this tensor.

    Args:
        name: name of the output of a `TensorModel` and of its label.
        of_atoms: whether each atom has such a tensor, rather than each structure.
        unit: scale of t, such as the standard deviation of the label: one number, or one for each component.
    """

    def term(outputs: Any, labels: Labels) -> Tensor:
        if labels.tensors is None or name not in labels.tensors:
            raise ValueError(f"loss: expected labels of {name}, but the data has none")
        output, label = outputs.tensors[name], labels.tensors[name]
        error = _error(output, label) / torch.as_tensor(unit).to(output)
        return _mean_of_labelled(error.square(), label, labels, of_atoms=of_atoms)

    return term


def _error(prediction: Tensor, label: Tensor) -> Tensor:
    """Prediction minus label, zero where there is no label (NaN)."""
    return torch.where(label.isnan(), 0.0, prediction - label)


def _mean_of_labelled(
    each: Tensor, label: Tensor, labels: Labels, *, of_atoms: bool = False
) -> Float[Tensor, " graphs"]:
    """Mean over the labelled components of each structure, zero if there are none.

    Args:
        each: values (graphs, ...) or (atoms, ...), zero where there is no label.
        label: labels of the same shape, NaN where they are missing.
        labels: all labels of the batch.
        of_atoms: whether the first axis is that of atoms.
    """
    total = each.reshape(len(each), -1).sum(1)
    count = (~label.isnan()).reshape(len(each), -1).sum(1)
    if of_atoms:
        n = labels.n_atoms.shape[0]
        total = total.new_zeros(n).index_add(0, labels.owner, total)
        count = count.new_zeros(n).index_add(0, labels.owner, count)
    return total / count.clamp(min=1)


def _rho(error: Tensor, huber: float | None) -> Tensor:
    """Square of errors, or twice Huber's function: the square up to `huber`, linear beyond."""
    if huber is None:
        return error**2
    return 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=huber)
