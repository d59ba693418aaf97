"""Losses of structures that lack labels, and weights of structures: values and gradients are exact."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from symnets.data import Labels, Statistics
from symnets.potentials import DataConfig, LossConfig, TrainConfig, training_loss
from symnets.training import energy_term, forces_term, stress_term, tensor_term, weighted_sum

NAN = torch.nan
SIZES = torch.tensor([2, 3, 1, 2])
OWNER = torch.arange(4).repeat_interleave(SIZES)
WEIGHTS = {"energy": 1.0, "forces": 0.7, "stress": 30.0}
HAVE = {"energy": [True, False, True, False], "forces": [True, True, False, False]}
HAVE["stress"] = [False, True, True, False]  # the last structure has no label at all


class Prediction(NamedTuple):
    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    tensors: dict[str, Tensor] | None = None


@pytest.fixture(params=[None, 0.5], ids=["squares", "huber"])
def huber(request):
    return request.param


def prediction(seed: int) -> Prediction:
    generator = torch.Generator().manual_seed(seed)
    shapes = (4,), (8, 3), (4, 3, 3)
    return Prediction(*(torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes))


def labels(**more: Tensor) -> Labels:
    """Labels with NaN for those that are missing."""
    values = prediction(1)
    have = {name: torch.tensor(mask) for name, mask in HAVE.items()}
    return Labels(
        values.energy.where(have["energy"], NAN),
        values.forces.where(have["forces"][OWNER, None], NAN),
        values.stress.where(have["stress"][:, None, None], NAN),
        OWNER,
        SIZES,
        **more,
    )


def summed(huber, **scales: float):
    terms = {"energy": energy_term, "forces": forces_term, "stress": stress_term}
    return weighted_sum(*((WEIGHTS[n] * scales.get(n, 1.0), term(huber)) for n, term in terms.items()))


def by_loop(outputs: Prediction, target: Labels, huber, frame: int) -> Tensor:
    """Loss of one structure: the labels that it has, one after the other."""
    total = outputs.energy.new_zeros(())

    def rho(error):
        size = error.abs()
        return error**2 if huber is None else torch.where(size < huber, size**2, huber * (2 * size - huber))

    if HAVE["energy"][frame]:
        error = (outputs.energy[frame] - target.energy[frame]) / SIZES[frame]
        total = total + WEIGHTS["energy"] * rho(error)
    if HAVE["forces"][frame]:
        rows = frame == OWNER
        total = total + WEIGHTS["forces"] * rho(outputs.forces[rows] - target.forces[rows]).mean()
    if HAVE["stress"][frame]:
        total = total + WEIGHTS["stress"] * rho(outputs.stress[frame] - target.stress[frame]).mean()
    return total


def test_values_and_gradients_are_those_of_a_loop_over_the_labels_that_are_there(huber):
    outputs, target = prediction(0), labels()
    leaves = [value.requires_grad_() for value in outputs[:3]]
    loss = summed(huber)(outputs, target)
    expected = torch.stack([by_loop(outputs, target, huber, frame) for frame in range(4)])
    torch.testing.assert_close(loss, expected)
    found = torch.autograd.grad(loss.sum(), leaves)
    for ours, theirs in zip(found, torch.autograd.grad(expected.sum(), leaves), strict=True):
        torch.testing.assert_close(ours, theirs)  # also no NaN
    assert loss[3] == 0
    assert (found[1][OWNER == 3] == 0).all()


def test_gradients_and_their_gradients_are_those_of_finite_differences(huber):
    outputs, target = prediction(0), labels(weight=torch.tensor([1.0, 2.0, 0.0, 3.0], dtype=torch.float64))
    leaves = tuple(value.requires_grad_() for value in outputs[:3])

    def mean(*values):
        return summed(huber)(Prediction(*values), target).mean()

    assert torch.autograd.gradcheck(mean, leaves)
    assert torch.autograd.gradgradcheck(mean, leaves)


def test_components_that_are_there_are_averaged_if_some_atoms_have_no_force():
    target = labels()
    forces = target.forces.clone()
    forces[2:4] = NAN  # of structure 1, which has atoms 2 to 4
    each = forces_term()(prediction(0), target._replace(forces=forces))
    error = prediction(0).forces[4] - target.forces[4]
    torch.testing.assert_close(each[1], error.square().mean())


def test_tensors_of_atoms_are_averaged_over_the_atoms_that_have_one():
    charges = torch.tensor([1.0, NAN, NAN, 2.0, NAN, NAN, 1.0, 1.0], dtype=torch.float64)
    outputs = prediction(0)._replace(tensors={"charge": torch.zeros(8, dtype=torch.float64)})
    term = tensor_term("charge", of_atoms=True, unit=0.5)
    expected = torch.tensor([4.0, 16.0, 0.0, 4.0], dtype=torch.float64)  # (charge / 0.5)²
    torch.testing.assert_close(term(outputs, labels(tensors={"charge": charges})), expected)


def test_the_mean_over_all_structures_is_the_weighted_mean_over_those_with_the_label():
    """Also over batches of equal size, whatever labels are in a batch."""
    weight = torch.tensor([1.0, 2.0, 0.5, 4.0], dtype=torch.float64)
    target, outputs = labels(weight=weight), prediction(0)
    have = {name: torch.tensor(mask, dtype=torch.float64) for name, mask in HAVE.items()}
    config = TrainConfig(data=DataConfig(train=""), output="", loss=LossConfig(**WEIGHTS))
    stats = Statistics(
        species=(1,),
        energies=(0.0,),
        cohesion=0.0,
        force_rms=1.0,
        mean_neighbors=1.0,
        n_structures=4,
        n_atoms=8,
        rank=1,
        source="least squares",
        labelled={name: int(mask.sum()) for name, mask in have.items()},
        label_weights={name: float((mask * weight).sum()) for name, mask in have.items()},
    )
    each = training_loss(config, stats)(outputs, target)
    unweighted = target._replace(weight=None)
    terms = {"energy": energy_term(), "forces": forces_term(), "stress": stress_term()}
    expected = sum(
        WEIGHTS[name] * (weight * term(outputs, unweighted)).sum() / (weight * have[name]).sum()
        for name, term in terms.items()
    )
    torch.testing.assert_close(each.mean(), expected)
    torch.testing.assert_close((each[:2].mean() + each[2:].mean()) / 2, expected)
    assert each[3] == 0
