"""Error and norm on held-out patterns, and early stopping."""

import math

import pytest
import torch

from symnets.data import Batch
from symnets.models import Dense
from symnets.setups import EarlyStopping, held_out
from symnets.setups._held_out import HeldOut
from symnets.training import Members, TrainState


def test_error_and_norm_of_known_outputs() -> None:
    """Outputs of the wrong sign, zero and NaN are errors. <f²> = (4 + 1 + 0 + 9) / 4."""
    outputs = torch.tensor([[2.0, -1.0, 0.0, 3.0], [1.0, 1.0, math.nan, -1.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 1.0, -1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    held = HeldOut(outputs, targets)
    assert held.error.tolist() == [0.5, 0.5]
    assert float(held.norm[0]) == pytest.approx(math.sqrt(14 / 4))
    assert [half.error[0].item() for half in held.halves()] == [0.5, 0.5]
    assert held.halves()[0].norm[0].item() == pytest.approx(math.sqrt(5 / 2))


def test_outputs_do_not_depend_on_the_chunk_size() -> None:
    generator = torch.Generator().manual_seed(0)
    net = Dense(3, 5, 2, members=2, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 11, 3, generator=generator, dtype=torch.float64)
    held = held_out(net, Batch(x, torch.ones(2, 11, dtype=torch.float64)), chunk=4)
    # Matrix products of other sizes may add up in another order.
    assert torch.allclose(held.outputs, net(x), rtol=1e-13, atol=1e-13)


class FixedOutputs(torch.nn.Module):
    """Members with given outputs for any input."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.answers = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answers

    def select(self, places: torch.Tensor) -> "Scripted":
        return FixedOutputs(self.answers[places])


def test_the_best_step_of_each_member_is_kept_and_finished_members_are_not_evaluated() -> None:
    """Validation errors of member 0 are 1/2, 0, 1/2: step 20 is its best. Member 1 finishes at step 10."""
    targets = torch.ones(2, 4, dtype=torch.float64)
    early = EarlyStopping(Batch(torch.zeros(2, 4, 1, dtype=torch.float64), targets), per_decade=100)
    right, wrong, half = [1.0, 1.0, 2.0, -2.0], [-1.0, -1.0, 3.0, 3.0], [1.0, -1.0, -5.0, -5.0]
    outputs_at = {10: (half, wrong), 20: (right, right), 30: (half, right)}
    members = Members.start(2)
    for step, outputs in outputs_at.items():
        state = TrainState(FixedOutputs(torch.tensor(outputs, dtype=torch.float64)), None)
        state.step, state.members = step, members
        if step == 10:
            members.active[1] = False
        early.after_step(state)
    assert early.step.tolist() == [20, 10]
    assert early.validation_error.tolist() == [0.0, 1.0]
    assert early.error.tolist() == [0.5, 0.0]
    assert early.norm.tolist() == [2.0, 3.0]


def test_members_are_also_evaluated_when_they_finish() -> None:
    """After step 10 the next evaluation is at 100; a member that finishes at 20 is evaluated there."""
    targets = torch.ones(2, 2, dtype=torch.float64)
    early = EarlyStopping(Batch(torch.zeros(2, 2, 1, dtype=torch.float64), targets), per_decade=1)
    members = Members.start(2)
    for step, output in ((10, -1.0), (20, 1.0)):
        state = TrainState(FixedOutputs(torch.full((2, 2), output, dtype=torch.float64)), None)
        state.step, state.members = step, members
        members.active[1] = step < 20
        early.after_step(state)
    assert early.step.tolist() == [10, 20]
    assert early.error.tolist() == [1.0, 0.0]
