"""Dynamics of members on a second device: no tensor on the wrong one, and the numbers of the CPU."""

import copy

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.training import (
    DenseOutput,
    QuadraticHinge,
    TrainState,
    descend_members,
    gradient_flow,
    levenberg_marquardt,
)
from tests.second_device import second_device


def net():
    generator = torch.Generator().manual_seed(0)
    return Dense(4, 4, 2, activation="tanh", members=5, bias=True, generator=generator, dtype=torch.float64)


def patterns():
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Batch(x, torch.tensor([1.0, -1.0] * 5, dtype=torch.float64))


def adam(model):
    return TrainState(model, torch.optim.Adam(model.parameters(), lr=0.05))


@pytest.mark.parametrize(
    ("dynamics", "state_of", "options"),
    [
        (descend_members, adam, {"budget": 30, "stride": 5}),
        (gradient_flow, TrainState, {"budget": 25, "max_time": 1.0}),
        (levenberg_marquardt, TrainState, {"budget": 8}),
    ],
)
def test_members_on_a_second_device_equal_those_of_the_cpu(dynamics, state_of, options):
    model, batch = net(), patterns()
    expected = state_of(copy.deepcopy(model))
    for _ in dynamics(expected, QuadraticHinge(), batch, **options):
        pass
    clock = {"dense_output": DenseOutput([0.0, 0.1, 0.5])} if dynamics is gradient_flow else {}
    with second_device():
        found = state_of(copy.deepcopy(model).to("cuda"))
        for _ in dynamics(found, QuadraticHinge(), batch.to("cuda"), **options, **clock):
            pass
        weights = [p.detach().cpu() for p in found.model.parameters()]
    assert found.members is not None
    assert found.members.verdicts == expected.members.verdicts
    assert found.members.steps.tolist() == expected.members.steps.tolist()
    torch.testing.assert_close(found.members.loss, expected.members.loss, rtol=0, atol=0, equal_nan=True)
    for p, q in zip(weights, expected.model.parameters(), strict=True):
        torch.testing.assert_close(p, q.detach(), rtol=0, atol=0)
