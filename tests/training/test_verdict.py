"""Satisfied patterns, and verdicts for targets of any value."""

import math

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.training import MSE, Criterion, TrainState, descend_members, gradient_flow, levenberg_marquardt


def test_a_nan_output_is_unsatisfied():
    outputs = torch.tensor([[math.nan, 2.0], [1.0, 0.5]], dtype=torch.float64)
    targets = torch.ones(2, dtype=torch.float64)
    assert Criterion().n_unsatisfied(outputs, targets).tolist() == [1, 1]
    assert Criterion().n_unsatisfied(outputs, targets, labels=False).tolist() == [2, 1]


@pytest.mark.parametrize("dynamics", [descend_members, gradient_flow, levenberg_marquardt])
def test_regression_is_satisfied_when_all_targets_are_met(dynamics):
    """f = 0.3 x of a linear net meets both targets; two targets of one pattern are met half-way."""
    criterion = Criterion(tolerance=1e-4, gradient=1e-5)
    found = []
    for y in ([0.3, 0.6], [0.3, 0.9]):
        x = torch.tensor([[1.0, 0.0], [2.0, 0.0]] if y[1] == 0.6 else [[1.0, 0.0]] * 2, dtype=torch.float64)
        seed = torch.Generator().manual_seed(0)
        model = Dense(2, 3, 1, activation="linear", members=2, generator=seed, dtype=torch.float64)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if dynamics is descend_members else None
        state, batch = TrainState(model, optimizer), Batch(x, torch.tensor(y, dtype=torch.float64))
        for _ in dynamics(state, MSE(), batch, budget=2000, criterion=criterion):
            pass
        found.append((state.members.verdicts, model(x).detach()))
    (satisfied, met), (at_minimum, between) = found
    assert satisfied == ["SAT"] * 2
    assert (met - torch.tensor([0.3, 0.6])).abs().max() <= 1e-4
    assert at_minimum == ["UNSAT"] * 2
    # |∇L| < 1e-5 √L leaves f off by at most that over |∂f/∂w| ~ 1.
    assert (between - 0.6).abs().max() < 1e-4
