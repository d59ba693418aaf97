"""Losses, optimisers and schedulers of torch in the dynamics of symnets."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from symnets.data import Batch, Loader, TensorPairs
from symnets.loss import mean_loss
from symnets.models import Dense, Ensemble
from symnets.training import (
    MSE,
    CrossEntropy,
    TrainState,
    cross_entropy,
    descend,
    descend_members,
    gradient_flow,
    levenberg_marquardt,
)

LABELS = torch.tensor([0, 1, 2, 1, 0])


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def after_steps(model, loss, targets, n=3):
    """Weights after some steps of plain descent on five examples."""
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1))
    steps = descend(state, loss, Loader(TensorPairs(draw(5, 4), targets), 5))
    for _ in range(n):
        next(steps)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), state.loss


def linear(n_outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(4, n_outputs).double()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("members", [None, 2])
def test_cross_entropy_of_torch_is_ours(reduction, members):
    def model():
        return linear(3) if members is None else Ensemble([linear(3, seed) for seed in range(members)])

    ours = after_steps(model(), cross_entropy, LABELS)
    theirs = after_steps(model(), nn.CrossEntropyLoss(reduction=reduction), LABELS)
    torch.testing.assert_close(theirs[0], ours[0], rtol=1e-12, atol=1e-14)
    assert theirs[1] == pytest.approx(ours[1], rel=1e-12)


def test_a_reduced_loss_is_the_mean_it_is():
    """Class weights are normalised by torch; the step follows the gradient of that mean."""
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64))
    model = linear(3)
    gradients = torch.autograd.grad(loss(model(draw(5, 4)), LABELS), list(model.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), gradients, strict=True)]
    found, _ = after_steps(model, loss, LABELS, n=1)
    torch.testing.assert_close(found, torch.cat([p.flatten() for p in expected]), rtol=1e-12, atol=1e-14)
    function, _ = after_steps(linear(3), F.cross_entropy, LABELS)
    module, _ = after_steps(linear(3), nn.CrossEntropyLoss(), LABELS)
    torch.testing.assert_close(function, module, rtol=1e-12, atol=1e-14)


def test_outputs_of_one_column_meet_targets_without_columns():
    y = draw(5, seed=1)
    found, _ = after_steps(linear(1), nn.MSELoss(), y)
    expected, _ = after_steps(linear(1), lambda f, t: (f[:, 0] - t) ** 2, y)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_sums_and_values_of_other_shapes_are_refused():
    f, y = draw(5), draw(5, seed=1)
    with pytest.raises(ValueError, match="reduction='mean' or 'none', got 'sum'"):
        mean_loss(nn.MSELoss(reduction="sum"), f, y)
    with pytest.raises(ValueError, match=r"expected one value an example, \(n,\), got shape \(5, 1\)"):
        mean_loss(lambda f, t: (f - t)[:, None], f, y)
    with pytest.raises(ValueError, match=r"expected one value an example, \(2, n\), got shape \(\)"):
        mean_loss(lambda f, t: (f - t).mean(), draw(2, 5), y, members=2)


def nets():
    generator = torch.Generator().manual_seed(0)
    return Dense(4, 5, 1, activation="tanh", members=2, generator=generator, dtype=torch.float64)


PATTERNS = Batch(draw(6, 4), draw(6, seed=1).sign())


def last(dynamics):
    *_, state = dynamics
    return state


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_soft_margin_loss_of_torch_is_cross_entropy_of_labels(reduction):
    loss = nn.SoftMarginLoss(reduction=reduction)
    for dynamics, optimizer in [(descend_members, torch.optim.Adam), (gradient_flow, None)]:
        losses = []
        for one in (CrossEntropy(), loss):
            model = nets()
            state = TrainState(model, optimizer and optimizer(model.parameters(), lr=0.01))
            losses.append(last(dynamics(state, one, tuple(PATTERNS), budget=20)).members.loss)
        torch.testing.assert_close(*losses, rtol=1e-10, atol=0)


def test_levenberg_marquardt_takes_the_squared_error_of_torch():
    """(f - y)² is twice ours, so the steps are the same if the damping, relative to JᵀJ, is."""
    ours = last(levenberg_marquardt(TrainState(nets()), MSE(), PATTERNS, budget=5)).members.loss
    theirs = last(levenberg_marquardt(TrainState(nets()), nn.MSELoss(), PATTERNS, budget=5)).members.loss
    torch.testing.assert_close(theirs, 2 * ours, rtol=1e-8, atol=1e-20)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.MSELoss(reduction="sum")])
def test_losses_that_are_not_pointwise_are_refused(loss):
    with pytest.raises(ValueError, match=r"loss: expected"):
        next(gradient_flow(TrainState(nets()), loss, PATTERNS, budget=1))


def test_functions_without_derivatives_are_refused_by_name():
    with pytest.raises(ValueError, match=r"pointwise loss such as .* got mse_loss without d1, d2"):
        next(gradient_flow(TrainState(nets()), F.mse_loss, PATTERNS, budget=1))


def test_optimisers_and_schedulers_that_need_more_are_refused():
    model = nets()
    newton = TrainState(model, torch.optim.LBFGS(model.parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plateau = TrainState(model, optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer))  # pyright: ignore
    for state, match in [(newton, "got LBFGS"), (plateau, "got ReduceLROnPlateau")]:
        with pytest.raises(ValueError, match=f"descend: expected .*{match}"):
            next(descend(state, MSE(), Loader(TensorPairs(*PATTERNS), 3)))
        with pytest.raises(ValueError, match=f"descend_members: expected .*{match}"):
            next(descend_members(state, MSE(), PATTERNS, budget=1))
