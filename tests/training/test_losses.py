"""Losses of force fields against explicit sums."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from symnets.data import Labels
from symnets.training import energy_term, forces_term, stress_term, weighted_sum


class Prediction(NamedTuple):
    energy: Tensor
    forces: Tensor
    stress: Tensor | None = None


OWNER = torch.tensor([0, 0, 0, 1])
LABELS = Labels(
    torch.tensor([-9000.0, -1.0], dtype=torch.float64),
    torch.zeros(4, 3),
    torch.zeros(2, 3, 3),
    OWNER,
    torch.tensor([3, 1]),
)
GUESS = Prediction(
    torch.tensor([-9000.0003, -3.0], dtype=torch.float64), torch.arange(12.0).view(4, 3), torch.ones(2, 3, 3)
)


def test_energy_is_per_atom_and_keeps_float64():
    torch.testing.assert_close(
        energy_term()(GUESS, LABELS), torch.tensor([1e-8, 4.0], dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_forces_are_averaged_within_a_structure():
    expected = torch.tensor([(torch.arange(9.0) ** 2).mean(), (torch.arange(9.0, 12.0) ** 2).mean()])
    torch.testing.assert_close(forces_term()(GUESS, LABELS), expected)


def test_weighted_sum_skips_terms_of_weight_zero():
    loss = weighted_sum((2.0, energy_term()), (0.5, stress_term()), (0.0, forces_term()))
    expected = 2 * energy_term()(GUESS, LABELS) + 0.5 * stress_term()(GUESS, LABELS)
    torch.testing.assert_close(loss(GUESS._replace(forces=None), LABELS), expected)
    with pytest.raises(ValueError, match="non-zero weight"):
        weighted_sum((0.0, energy_term()))


def test_huber_is_quadratic_then_linear():
    small, large = 0.1, 3.0
    labels = LABELS._replace(energy=torch.zeros(2, dtype=torch.float64), n_atoms=torch.tensor([1, 1]))
    guess = GUESS._replace(energy=torch.tensor([small, large], dtype=torch.float64))
    expected = torch.tensor([small**2, 2 * large - 1], dtype=torch.float64)
    torch.testing.assert_close(energy_term(1.0)(guess, labels), expected)


def test_missing_labels_add_no_loss_but_a_nan_prediction_does():
    labels = LABELS._replace(energy=torch.tensor([torch.nan, -1.0], dtype=torch.float64))
    energy = GUESS.energy.clone().requires_grad_()
    loss = energy_term()(GUESS._replace(energy=energy), labels)
    assert loss[0] == 0
    (gradient,) = torch.autograd.grad(loss.sum(), energy)
    assert gradient[0] == 0
    assert energy_term()(GUESS._replace(energy=energy * torch.nan), LABELS).isnan().all()


def test_missing_labels_are_named():
    with pytest.raises(ValueError, match="the data has no forces; set it to 0"):
        forces_term()(GUESS, LABELS._replace(forces=None))
    with pytest.raises(ValueError, match="the data has no stress; set it to 0"):
        stress_term()(GUESS, LABELS._replace(stress=None))
