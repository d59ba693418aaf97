"""Reported loss of an ensemble that is trained with a loader."""

import math

import pytest
import torch

from symnets.data import Loader
from symnets.models import Dense
from symnets.training import TrainState, descend, diverged


def squared(outputs, targets):
    return (outputs - targets) ** 2


@pytest.fixture
def state():
    seed = torch.Generator().manual_seed(0)
    model = Dense(2, 3, 1, members=3, generator=seed, dtype=torch.float64)
    return TrainState(model, torch.optim.SGD(model.parameters(), lr=0.01))


@pytest.fixture
def loader():
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Loader([(row, row[0]) for row in x], 4)


def test_the_loss_of_an_ensemble_is_the_mean_over_its_members(state, loader):
    batch = next(iter(loader))
    expected = squared(state.model(batch.inputs), batch.targets).mean()
    assert next(descend(state, squared, loader)).loss == pytest.approx(expected.item(), rel=1e-12)


def test_a_member_that_diverged_does_not_stop_the_others(state, loader):
    batch = next(iter(loader))
    expected = squared(state.model(batch.inputs), batch.targets)[1:].mean()
    with torch.no_grad():
        state.model.weights[0][0] = torch.nan
    next(descend(state, squared, loader))
    assert state.loss == pytest.approx(expected.item(), rel=1e-12)
    assert diverged()(state) is None
    with torch.no_grad():
        state.model.weights[0].fill_(torch.nan)
    next(descend(state, squared, loader))
    assert math.isnan(state.loss)
    assert "nan" in diverged()(state)
