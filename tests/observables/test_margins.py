"""Margins against numbers computed by hand."""

import pytest
import torch
from torch import Tensor, nn

from symnets.data import Batch
from symnets.models import Dense
from symnets.observables import margins


class Answers(nn.Module):
    """A net that returns its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)  # shows which mode the net is in

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x)


def batch_of(outputs: list, targets: list) -> Batch:
    return Batch(torch.tensor(outputs, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64))


def test_margins_by_hand() -> None:
    # Δ = 1 - y f:          -1        0.5       3       1 (f = 0 has no sign)
    batch = batch_of([2.0, 0.5, -2.0, 0.0], [1, 1, 1, -1])
    found = margins(Answers(), batch)
    assert found.gaps.tolist() == [-1, 0.5, 3, 1]
    assert found.n_unsatisfied.item() == 3
    assert found.n_misclassified.item() == 2
    assert found.loss.item() == (0.5**2 + 3**2 + 1) / 8
    assert found.total_loss.item() == (0.5**2 + 3**2 + 1) / 2
    assert found.overlaps.tolist() == [0.5, 3, 1]


def test_a_larger_margin_increases_all_gaps() -> None:
    batch = batch_of([2.0, -0.25], [1, -1])
    assert margins(Answers(), batch, margin=0.25).gaps.tolist() == [-1.75, 0]


@pytest.mark.parametrize(("tolerance", "count"), [(0.0, 2), (1e-6, 1), (0.1, 0)])
def test_overlaps_within_the_tolerance_are_satisfied(tolerance: float, count: int) -> None:
    batch = batch_of([1 - 1e-9, 1 - 1e-3, 1.0], [1, 1, 1])
    assert margins(Answers(), batch, tolerance=tolerance).n_unsatisfied.item() == count


def test_nan_outputs_are_unsatisfied() -> None:
    found = margins(Answers(), batch_of([float("nan"), 2.0], [1, 1]))
    assert (found.n_unsatisfied.item(), found.n_misclassified.item()) == (1, 1)


def test_members_are_measured_one_by_one() -> None:
    net = Dense(3, 4, 2, members=5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.tensor([1.0, -1, 1, -1, 1, 1, -1], dtype=torch.float64)
    together = margins(net, Batch(x, y))
    assert together.gaps.shape == (5, 7)
    for s in range(5):
        alone = margins(net.member(s), Batch(x, y))
        torch.testing.assert_close(together.gaps[s], alone.gaps)
        assert together.n_unsatisfied[s] == alone.n_unsatisfied
        torch.testing.assert_close(together.loss[s], alone.loss)


def test_an_output_axis_of_length_one_is_removed() -> None:
    column, row = batch_of([[2.0], [-3.0]], [1, 1]), batch_of([2.0, -3.0], [1, 1])
    assert margins(Answers(), column).gaps.tolist() == margins(Answers(), row).gaps.tolist()


def test_net_is_left_in_its_mode() -> None:
    net = Answers().train()
    margins(net, batch_of([1.0], [1]))
    assert net.training
    assert net.dropout.training


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        ([1.0, 2.0], [0, 1], r"labels: expected \+1 and -1, got \[0.0, 1.0\]"),
        ([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], [1, -1], r"one number for each pattern.*got \(2, 3\)"),
        ([], [], "expected at least one pattern"),
    ],
)
def test_bad_input_is_refused(outputs: list, targets: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        margins(Answers(), batch_of(outputs, targets))


def test_a_margin_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="margin > 0"):
        margins(Answers(), batch_of([1.0], [1]), margin=0.0)
