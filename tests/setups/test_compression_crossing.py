"""Compression read at the first crossing of 10 % satisfied patterns, on made-up trainings."""

import pytest
import torch

from symnets.models import Dense, Scaled
from symnets.setups import CompressionCrossing
from symnets.training import Members, TrainState

FIRST = torch.eye(3, dtype=torch.float64)[:, :1]


def training(
    factors: list[list[float]], n_unsatisfied: list[list[int]], **options: float
) -> CompressionCrossing:
    """Feed records of λ and of unsatisfied patterns among 20, one list a record, to the callback."""
    net = Dense(3, 4, 1, members=len(factors[0]), dtype=torch.float64)
    net.weights[0].data.fill_(1.0)
    predictor = Scaled(net, 1.0)
    state = TrainState(predictor)
    state.members = Members.start(len(factors[0]))
    crossing = CompressionCrossing(FIRST, 20, **options)
    for factor, unsatisfied in zip(factors, n_unsatisfied, strict=True):
        net.weights[0].data[:, :, 0] = torch.tensor(factor, dtype=torch.float64)[:, None]
        state.members.n_unsatisfied = torch.tensor(unsatisfied)
        crossing.after_step(state)
    return crossing


def test_the_crossing_is_interpolated_between_the_records() -> None:
    """Fractions 0.05 and 0.15 with λ = 2 and 8: halfway at 0.1 in log λ, 4; later records do not count."""
    crossing = training([[2.0], [8.0], [50.0]], [[19], [17], [10]])
    assert crossing.factor.tolist() == pytest.approx([4.0], rel=1e-12)
    assert crossing.path[:, 1, 0].tolist() == pytest.approx([1, 2, 8, 50])
    assert crossing.path[:, 0, 0].tolist() == pytest.approx([0, 0.05, 0.15, 0.5])


def test_a_crossing_before_the_first_record_starts_from_the_initial_weights() -> None:
    """From λ = 1 at fraction 0 to λ = 16 at 0.2: 4 at 0.1."""
    assert training([[16.0]], [[16]]).factor.tolist() == pytest.approx([4.0])


def test_members_cross_on_their_own_and_one_that_has_not_is_nan() -> None:
    crossing = training([[2.0, 3.0], [4.0, 9.0]], [[18, 20], [18, 16]])
    assert crossing.factor[0].isnan()  # 10 % is not more than 10 %
    assert crossing.factor[1].item() == pytest.approx(27**0.5)  # halfway from 3 at 0 to 9 at 0.2, in log λ
    assert training([[2.0]], [[15]], level=0.5).factor.isnan().all()


def test_a_restored_callback_continues() -> None:
    whole = training([[2.0], [8.0]], [[19], [17]])
    first = training([[2.0]], [[19]])
    again = CompressionCrossing(FIRST, 20)
    again.load_state_dict(first.state_dict())
    net = Dense(3, 4, 1, members=1, dtype=torch.float64)
    net.weights[0].data.fill_(1.0)
    net.weights[0].data[:, :, 0] = 8.0
    state = TrainState(Scaled(net, 1.0))
    state.members = Members.start(1)
    state.members.n_unsatisfied = torch.tensor([17])
    again.after_step(state)
    assert torch.equal(again.factor, whole.factor)
    assert torch.equal(again.path, whole.path)


def test_a_level_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="level: expected a fraction"):
        CompressionCrossing(FIRST, 20, level=1.0)
